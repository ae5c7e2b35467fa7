"""The notebooks over sizes, pretraining seeds and networks, on runs that look finished."""

import axes_project
import pytest
from axes_project import TARGETS
from sklearn.metrics import roc_auc_score

from catscans_lib import paths, results
from catscans_lib.evaluation import Backbones, Sizes, Variance

DRAWS = {"profile": "sample", "average": "weighted", "n_draws": 200}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    with axes_project.in_project(folder):
        yield folder


def table(name):
    return results.read_table(paths.tables_dir("sample") / f"{name}.csv")


def test_sizes_judges_every_size_on_the_same_images(project):
    axes_project.ran("sizes", "sample", Sizes(**DRAWS, margin=0.01))
    aucs, curves = table("aucs_by_size"), table("size_curves")
    assert len(aucs) == 4 * 2 * 3 * 3 * 2 and set(aucs["n_images"]) == {40}
    one = results.table("sample", "transfer", "dtd--chest@10", "predictions").query("fold == 1 and seed == 0")
    expected = roc_auc_score(one["label"] == "PNEUMONIA", one["score_PNEUMONIA"])
    found = aucs.query("source == 'dtd' and target == 'chest' and n_train == 10 and fold == 1 and seed == 0")
    assert found["auc"].tolist() == pytest.approx([expected])
    assert len(curves) == 4 * 2 * 3 and set(curves["n_train"]) == {10, 40, 80}
    crossings = table("size_crossings")
    assert len(crossings[crossings["other"] == "none"]) == 6
    assert {path.name for path in paths.run_dir("sample", "sizes", "all").glob("figures/*.svg")} == {
        "auc_fine_tune.svg",
        "gain_fine_tune.svg",
    }
    assert results.optional("sample", "tables/size_measures.csv").empty  # no similarity run


def test_variance_takes_the_runs_of_further_pretraining_seeds(project):
    axes_project.ran("variance", "sample", Variance(**DRAWS))
    aucs, components = table("aucs_by_seed"), table("variance_components")
    networks = aucs.groupby(["target", "source"])["pretrain_seed"].nunique()
    assert networks.xs("chest").to_dict() == {"dtd": 3, "imagenet": 1, "natural": 3, "none": 1}
    found = components[components["target"] == "chest"].set_index("component")
    assert list(found.index) == ["source", "pretrain_seed", "transfer_seed", "images", "fold"]
    assert found["n_levels"].to_dict()["pretrain_seed"] == 7 and found["share"].sum() == pytest.approx(1)
    pairs = table("source_differences").query("target == 'chest'")[["source_a", "source_b"]]
    assert {frozenset(pair) for pair in pairs.itertuples(index=False)} == {
        frozenset(pair)
        for pair in (
            ("dtd", "imagenet"),
            ("dtd", "natural"),
            ("dtd", "none"),
            ("imagenet", "natural"),
            ("natural", "none"),
        )
    }


def test_backbones_ranks_within_networks(project):
    axes_project.ran("backbones", "sample", Backbones(profile="sample", average="weighted"))
    ranks, agreement = table("backbones"), table("backbone_agreement")
    assert set(ranks["backbone"]) == {"squeezenet", "resnet50"} and ranks["rank"].max() == 3
    gains = ranks[ranks["source"] == "dtd"].set_index(["backbone", "target"])["gain"]
    assert list(gains[gains.isna()].index) == [("resnet50", "malaria")]  # its random weights did not learn
    assert agreement.groupby("target")["statistic"].agg(list).to_dict() == {name: ["tau", "w"] for name in TARGETS}
