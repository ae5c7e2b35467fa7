"""Published results are reproduced: against the reference folder's own record, and by hand on small invented tables."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import reference
from reference import REFERENCE, needs_reference

from catscans_lib import figures, paths, results
from catscans_lib.book import templates
from catscans_lib.errors import InputError
from catscans_lib.evidence import analyses, tables
from catscans_lib.grid import expand
from catscans_lib.transferability import associations

ROOT = Path(__file__).resolve().parents[2]
PAIRS = {  # as the record calls them
    "all": "all 24 pairs incl. 3 baselines", "no baselines": "21 pairs, baselines dropped",
    "no baselines, no ImageNet": "18 pairs, baselines and imagenet dropped",
    "isic2018": "target isic2018, baseline dropped", "chest": "target chest, baseline dropped",
    "pcam_middle": "target pcam_middle, baseline dropped",
    "within targets": "21 pairs, target-mean-centred (pearson p with 17 dof)",
}  # fmt: skip


def small_folder(folder):
    """Write invented tables: two targets with their own and other sources, two folds."""
    aucs = {
        ("stl10", "chest"): (0.8, 0.9), ("dtd", "chest"): (0.7, 0.7), ("chest", "chest"): (0.6, 0.6),
        ("imagenet", "chest"): (0.9, 0.95), ("stl10", "isic2018"): (0.5, 0.6), ("dtd", "isic2018"): (0.8, 0.7),
        ("isic2018", "isic2018"): (0.5, 0.5), ("imagenet", "isic2018"): (0.9, 0.7), ("chest", "isic2018"): (0.6, 0.6),
    }  # fmt: skip
    rows = [
        (s, t, fold, auc, 100 * (auc / aucs[t, t][fold - 1] - 1), int(s == t))
        for (s, t), values in aucs.items() for fold, auc in enumerate(values, start=1)
    ]  # fmt: skip
    files = {"paper_aucs.csv": pd.DataFrame(rows, columns=analyses.FOLDS)}
    foreign = [(s, t) for s, t in aucs if s not in (t, "imagenet")]
    statistics = {"std": 0.1, "min": 0, "max": 1, "n": 100, "measure": "cosine_hessian", "pairing": "same index"}
    distances = [
        {"source": s, "target": t, "mean": 0.2 + 0.1 * place} | statistics for place, (s, t) in enumerate(foreign)
    ]
    distances += [row | {"measure": "cosine_symnorm", "mean": 1 - row["mean"]} for row in distances]
    within = {
        ("dtd", "dtd"): 0.4, ("chest", "dtd"): 0.3, ("chest", "chest"): 0.1, ("chest", "stl10"): 0.6, ("stl10", "stl10"): 0.2
    }  # fmt: skip
    subsets = statistics | {"pairing": "all i != j"}
    distances += [{"source": s, "target": t, "mean": mean} | subsets for (s, t), mean in within.items()]
    files["task2vec_distances.csv"] = distances
    experts = [{"source": s, "target": t, "expert_distance": len(s) - len(t) if s != t else 0} for s, t in aucs]
    files["expert_distances.csv"] = experts
    named = "task2vec cosine_hessian, 5 committed fold columns of aucs_scores_distances.csv (subsets 3,3,8,3,5)"
    files["correlations.csv"] = [{"predictor": named, "pairs": PAIRS["all"], "pearson_r": -0.2}]
    scores = {name: 0.1 for name in ("fu", "leep", "logme", "lp", "ncti", "nleep", "parc", "sfda")}
    later = [
        {"source": s, "target": t, "auc": 0.5 + place / 10} | {name: place * v for name, v in scores.items()}
        for t in ("bloodmnist", "pathmnist")
        for place, s in enumerate(("imagenet", "radimagenet", "medmnist", "tissuemnist"))
    ]
    later.append({"source": "imagenet", "target": "chestmnist", "auc": 0.7} | dict.fromkeys(scores, np.nan))
    files["medmnist_transfer.csv"] = later
    for name, table in files.items():
        pd.DataFrame(table).to_csv(folder / name, index=False)
    return folder


@needs_reference
def test_all_correlations_agree_with_the_record():
    record = pd.read_csv(REFERENCE / "correlations.csv").set_index(["predictor", "pairs"])
    found = analyses.correlations(tables.aucs(REFERENCE), tables.similarity(REFERENCE))
    columns = ["n", "pearson_r", "pearson_p", "spearman_rho", "kendall_tau"]
    for measure in ("cosine_hessian", "cosine_symnorm", "kl_masked", "log_euclid_masked", "experts"):
        here = found[found["measure"] == measure].set_index("pairs")[columns]
        assert set(here.index) == set(PAIRS)
        predictor = "expert distance" if measure == "experts" else f"task2vec {measure}, mean of 100 subsets, self=0"
        want = record.loc[[(predictor, PAIRS[pairs]) for pairs in here.index], columns]
        np.testing.assert_allclose(here.to_numpy(float), want.to_numpy(float), rtol=0, atol=2e-8)


@needs_reference
def test_three_of_the_five_published_draws_are_the_same_subset_and_random_draws_vary_as_the_embeddings_do():
    draws = analyses.draws(REFERENCE).set_index("file")
    row = draws.loc["aucs_scores_distances.csv"]
    assert (row["subsets"], row["n_distinct"]) == ("62,62,47,62,51", 3)
    assert row["recorded_r"] == pytest.approx(-0.1088387514)
    assert draws.loc["aucs_with_distances.csv", "n_distinct"] == 5
    # 5,000 draws of five of the embeddings themselves: mean -0.046, sd 0.022, -0.113 to +0.046 (which ours may exceed).
    r = analyses.random_draws(REFERENCE, 5000, np.random.default_rng(0))
    assert r.mean() == pytest.approx(-0.0458, abs=0.002)
    assert r.std() == pytest.approx(0.022, abs=0.004)
    assert (r < -0.1088).mean() < 0.02


@needs_reference
def test_textures_are_further_from_themselves_than_from_pcam():
    floor = analyses.noise_floor(REFERENCE).set_index(["source", "target"])
    assert floor.loc[("dtd", "dtd"), "mean"] == pytest.approx(0.438, abs=5e-4)
    assert floor.loc[("dtd", "pcam_middle"), "mean"] == pytest.approx(0.418, abs=5e-4)
    assert floor.loc[("dtd", "pcam_middle"), "below_floor"]
    assert not floor.loc[("chest", "dtd"), "below_floor"]
    assert floor["kind"].value_counts().to_dict() == {"cross": 28, "self": 8}


@needs_reference
def test_tests_between_sources_agree_with_the_reference_vectors():
    vectors = reference.vectors()
    found = analyses.fold_tests(tables.aucs(REFERENCE)).set_index(["target", "source_b"])
    compared = [pair for pair in vectors["nadeau_bengio"] if "imagenet" in (pair["a"]["source"], pair["b"]["source"])]
    assert len(compared) == 3
    for pair in compared:
        (other,) = {pair["a"]["source"], pair["b"]["source"]} - {"imagenet"}
        row = found.loc[(pair["a"]["target"], other)]
        assert row["p"] == pytest.approx(pair["p_two_sided"], rel=1e-9)
        assert row["p_uncorrected"] == pytest.approx(pair["uncorrected_p"], rel=1e-6)
        assert abs(row["difference"]) == pytest.approx(abs(pair["mean_difference"]))
    ranks = analyses.ranks(tables.aucs(REFERENCE))
    all_pairs = ranks[ranks["pairs"] == "all"]
    want = vectors["friedman_3_targets"]
    assert all_pairs.set_index("source")["mean_rank"].to_dict() == pytest.approx(want["mean_ranks"])
    assert all_pairs["friedman_p"].iloc[0] == pytest.approx(
        0.01303, abs=1e-5
    )  # all permutations; chi-squared gives .043
    assert all_pairs["critical_difference"].iloc[0] == pytest.approx(want["critical_difference"]["0.05"], rel=1e-6)
    assert len(ranks[ranks["pairs"] == "no baselines"]) == 4


@needs_reference
def test_medmnist_scores_have_the_published_mean_kendall():
    table = associations.associations(*tables.medmnist(REFERENCE), evidence="medmnist", n_draws=100)
    over_all = table[(table["target"] == "all") & (table["statistic"] == "kendall")].set_index("measure")
    want = {"linear_probe": 0.33, "nleep": 0.31, "fu": 0.25, "leep": 0.23, "logme": 0.23, "parc": 0.22, "ncti": 0.13}
    assert {name: over_all.loc[name, "value"] for name in want} == pytest.approx(want, abs=0.006)
    assert set(over_all["n"]) == {154}
    regret = table[(table["target"] == "all") & (table["statistic"] == "regret")].set_index("measure")["value"]
    aucs = pd.read_csv(REFERENCE / "medmnist_transfer.csv").query("target != 'chestmnist'").set_index("source")
    lost = aucs.groupby("target")["auc"].max() - aucs.loc["imagenet"].set_index("target")["auc"]
    assert regret["always_imagenet"] == pytest.approx(lost.mean())


def test_imagenet_has_the_distances_of_stl10_and_self_distances_are_0(tmp_path):
    found = tables.similarity(small_folder(tmp_path)).set_index(["measure", "source", "target"])["value"]
    assert found["cosine_hessian", "imagenet", "chest"] == found["cosine_hessian", "stl10", "chest"] == 0.2
    assert found["cosine_hessian", "chest", "chest"] == 0
    assert found["experts", "imagenet", "chest"] == 3


def test_within_targets_subtracts_the_mean_of_each_target(tmp_path):
    folder = small_folder(tmp_path)
    found = analyses.correlations(tables.aucs(folder), tables.similarity(folder)).set_index(["measure", "pairs"])
    assert found["n"]["cosine_hessian"].to_dict() == {
        "all": 9, "no baselines": 7, "no baselines, no ImageNet": 5, "chest": 3, "isic2018": 4, "within targets": 7,
    }  # fmt: skip
    # chest: distances .2 .3 .2, scores 41.67 16.67 54.17; isic2018: .4 .5 .4 .6, scores 10 50 60 20
    x = np.array([0.2, 0.3, 0.2, 0.4, 0.5, 0.4, 0.6]) - np.repeat([0.7 / 3, 1.9 / 4], [3, 4])
    y = np.array([125 / 3, 50 / 3, 325 / 6, 10, 50, 60, 20]) - np.repeat([37.5, 35], [3, 4])
    want = (x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum())
    assert found.loc[("cosine_hessian", "within targets"), "pearson_r"] == pytest.approx(want)


def test_a_draw_is_recomputed_from_the_repository_s_file(tmp_path):
    folder = small_folder(tmp_path)
    assert analyses.draws(folder)["recomputed_r"].isna().all()
    pairs = tables.aucs(folder)[["source", "target"]].drop_duplicates()
    original = pairs.replace({"isic2018": "isic", "dtd": "textures"})
    distances = np.linspace(0, 1, len(pairs))
    columns = {f"distance_{draw}": distances + (draw == 3) for draw in range(1, 6)}
    original.assign(**columns).to_csv(folder / "aucs_scores_distances.csv")
    (row,) = analyses.draws(folder).to_dict("records")
    scores = tables.aucs(folder).groupby(["source", "target"], sort=False)["transfer_score"].mean()
    assert row["recomputed_r"] == pytest.approx(np.corrcoef(distances, scores)[0, 1])
    assert (row["n_distinct"], row["n_distinct_found"]) == (3, 2)


def test_a_distance_below_a_self_distance_is_below_the_floor(tmp_path):
    floor = analyses.noise_floor(small_folder(tmp_path)).set_index(["source", "target"])
    assert floor.loc[("chest", "dtd"), ["floor", "below_floor"]].tolist() == [0.4, True]
    assert floor.loc[("chest", "stl10"), ["floor", "below_floor"]].tolist() == [0.2, False]
    figures.set_style()
    ax = figures.noise_floor(floor.reset_index())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["dtd", "stl10", "chest"]
    points = [points for points in ax.collections if len(points.get_offsets())]
    assert sum(one.get_sizes()[0] == 44 and one.get_offsets()[0][0] == 0.3 for one in points) == 1  # orange


def test_the_run_is_in_the_grid_only_if_reference_is_set(monkeypatch, tmp_path):
    monkeypatch.delenv(paths.REFERENCE, raising=False)
    assert "published/all" not in expand.grid("demo")
    with pytest.raises(InputError, match="No paper_aucs.csv in .*, the folder set by REFERENCE"):
        tables.aucs(tmp_path)
    with pytest.raises(InputError, match="REFERENCE is not set. Set REFERENCE: make book PROFILE=... REFERENCE=folder"):
        paths.reference_dir()
    monkeypatch.setenv(paths.REFERENCE, str(small_folder(tmp_path)))
    assert expand.grid("demo")["published/all"].inputs == {paths.REFERENCE: str(tmp_path)}
    assert paths.reference_dir() == tmp_path


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A project in which the notebook's cells ran on the invented tables and were published as by a sweep."""
    project = tmp_path_factory.mktemp("project")
    for name in ("params", "book", "notebooks"):
        (project / name).symlink_to(ROOT / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.REFERENCE, str(small_folder(tmp_path_factory.mktemp("reference"))))
        patch.setenv("CATSCANS_ROOT", str(project))
        patch.setenv(results.WORK_DIR, str(results.new_work_dir("demo", "published", "all")))
        names = {}
        for cell in nbformat.read(ROOT / "notebooks/published.ipynb", 4).cells:
            is_parameters = "parameters" in cell.metadata.get("tags", [])
            if cell.cell_type == "code":
                exec("n_draws, draw_seed, profile = 100, 0, 'demo'" if is_parameters else cell.source, names)
        results.publish("demo", "published", "all")
    return project


def test_the_notebook_provides_all_numbers_and_figures_of_the_chapter(ran, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(ran))
    found = analyses.chapter_numbers("demo")
    assert found["correlations"]["experts"]["all"]["n"] == 9
    assert {row["measure"] for row in found["predictions"]["medmnist"]} > {"fu", "linear_probe", "always_imagenet"}
    regrets = [row["regret"]["value"] for row in found["predictions"]["original"]]
    assert regrets == sorted(regrets)
    svgs = [*ran.glob("results/demo/published/all/figures/*.svg")]
    assert len(svgs) == 8
    assert not any(figures.DEMO_STAMP in path.read_text() for path in svgs)
    staged = {f"figures/published/all/{path.name}" for path in svgs}
    chapter = templates.template("published.md", staged).render(profile="demo", demo=True, published=found)
    assert "Over all 9 pairs of source and target" in chapter
    assert "Only 3 of the five are distinct" in chapter
    assert "figures/published/all/regret_medmnist.svg" in chapter
    assert "not here" not in chapter


def test_without_the_run_the_chapter_explains_how_to_get_the_tables(monkeypatch, tmp_path):
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    (tmp_path / "book").symlink_to(ROOT / "book")
    assert analyses.chapter_numbers("demo") is None
    chapter = templates.template("published.md", ()).render(profile="sample", demo=False, published=None)
    assert "make book PROFILE=sample REFERENCE=folder" in chapter
    assert "https://github.com/vcheplygina/cats-scans" in chapter
    assert "What was concluded" not in chapter
