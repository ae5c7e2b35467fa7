"""The chapters about sizes, chance and networks: of our runs on real images, of a profile, and without either."""

import axes_project
import pytest

from catscans_lib import paths, results
from catscans_lib.book import axes, templates
from catscans_lib.evaluation import Backbones, Sizes, Variance
from catscans_lib.evidence import own

CHAPTERS = ("how_many", "variance", "backbones")
FIGURES = {
    "figures/evidence/all/own_auc_fine_tune.svg", "figures/sizes/all/gain_fine_tune.svg",
    "figures/variance/all/components_fine_tune.svg", "figures/backbones/all/backbones_fine_tune.svg",
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with all axes under the profile sample, and the same tables as evidence."""
    folder = tmp_path_factory.mktemp("project")
    with axes_project.in_project(folder):
        given = {"profile": "sample", "average": "weighted", "n_draws": 200}
        axes_project.ran("sizes", "sample", Sizes(**given, margin=0.01))
        axes_project.ran("variance", "sample", Variance(**given))
        axes_project.ran("backbones", "sample", Backbones(profile="sample", average="weighted"))
        (folder / "evidence/more").mkdir(parents=True)
        for name in axes.TABLES:
            if len(table := results.optional("sample", f"tables/{name}.csv")):
                table.to_csv(own.axis_path(name), index=False)
        yield folder


def text(name, profile, *, demo):
    given = axes.numbers(profile) | {"profile": profile, "demo": demo, "evidence": None}
    return templates.rendered(f"{name}.md", FIGURES, **given)


def test_a_demo_shows_our_runs_on_real_images_and_that_it_has_none_itself(project):
    page = {name: text(name, "demo", demo=True) for name in CHAPTERS}
    assert all("Key message" in page[name] and "## Our runs on real images" in page[name] for name in CHAPTERS)
    assert (
        "This profile trains with all images alone" in page["how_many"] and "fig-evidence-own-auc" in page["how_many"]
    )
    assert "This profile has no further pretraining seeds" in page["variance"]
    assert "This profile has one network" in page["backbones"]
    assert "## This profile" not in "".join(page.values())


def test_a_profile_with_axes_prints_its_tables(project):
    page = {name: text(name, "sample", demo=False) for name in CHAPTERS}
    curves = results.read_table(paths.tables_dir("sample") / "size_curves.csv")
    row = curves.query("source == 'dtd' and target == 'chest' and n_train == 10").iloc[0]
    assert f"| fine-tuning | Describable Textures (DTD) | 10 | {row['auc']:.3f} (" in page["how_many"]
    assert f"<td>10</td><td>{row['auc']:.4f}</td>" in page["how_many"]
    one = curves.query("source == 'imagenet' and target == 'chest' and n_train == 10").iloc[0]
    assert (
        f"ImageNet's weights add to the AUC of random weights on Chest X-rays {one['gain']:+.3f} (" in page["how_many"]
    )
    components = results.read_table(paths.tables_dir("sample") / "variance_components.csv")
    sd = components.loc[components["component"] == "transfer_seed", "sd"]
    assert f"another training on the target: {sd.min():.3f} to {sd.max():.3f}" in page["variance"]
    assert "## Our runs on real images" not in "".join(page.values())
    assert "SqueezeNet 1.1, ResNet50 | τ" in page["backbones"] and "1 of 3" in page["backbones"]


def test_chapters_without_results_say_so_in_one_sentence(project, tmp_path, monkeypatch):
    (tmp_path / "book").symlink_to(axes_project.ROOT / "book")
    (tmp_path / "params").symlink_to(axes_project.ROOT / "params")
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    for name in CHAPTERS:
        page = text(name, "demo", demo=True)
        assert "This profile " in page and "Key message" not in page and "{table}" not in page
