"""The chapter about other collections: of our runs on real images, of a profile, and without either."""

import axes_project
import numpy as np
import pandas as pd
import pytest

from catscans_lib import paths
from catscans_lib.book import axes, templates
from catscans_lib.evaluation import drops
from catscans_lib.evidence import own


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Tables of a pair of collections: three sources that lose most of their AUC, one of which falls below .5."""
    for name in ("book", "params"):
        (tmp_path / name).symlink_to(axes_project.ROOT / name)
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    rng, label = np.random.default_rng(0), np.array(["NORMAL", "PNEUMONIA"] * 30)
    sides = []
    for prefix, shifts in (
        ("i", {"dtd": 2.0, "natural": 1.0, "imagenet": 3.0}),
        ("x", {"dtd": 0.8, "natural": -3.0, "imagenet": 0.1}),
    ):
        parts = []
        for source, shift in shifts.items():
            score = 1 / (1 + np.exp(-rng.normal(size=60) - shift * (label == "PNEUMONIA")))
            ids = [f"{prefix}{number}" for number in range(60)]
            keys = {"source": source, "target": "chest", "mode": "fine_tune", "fold": 1, "seed": 0}
            scores = {"score_NORMAL": 1 - score, "score_PNEUMONIA": score}
            parts.append(pd.DataFrame({**keys, "image_id": ids, "group": ids, "label": label, **scores}))
        sides.append(pd.concat(parts, ignore_index=True))
    details = pd.DataFrame({"image_id": [f"x{number}" for number in range(60)], "site": ["a", "a", "b"] * 20})
    made = drops.of_pair(*sides, details, n_draws=100, draw_seed=0, margin=0.01)
    made["left_out"] = pd.DataFrame(
        {"train": ["chest"], "dataset": ["dtd"], "reason": ["near duplicate"], "n_images": [3]}
    )
    made["problems"] = pd.DataFrame({"train": ["chest"], "problem": ["no images"]})
    paths.tables_dir("sample").mkdir(parents=True)
    (tmp_path / "evidence/more").mkdir(parents=True)
    for name, table in made.items():
        for path in (paths.tables_dir("sample") / f"external_{name}.csv", own.axis_path(f"external_{name}")):
            table.assign(test="covid_xray").to_csv(path, index=False)
    return made


def text(profile, *, demo):
    figures = {f"figures/{place}_fine_tune.svg" for place in ("external/all/slopes", "evidence/all/own_elsewhere")}
    given = axes.numbers(profile) | {"profile": profile, "demo": demo}
    return templates.rendered("elsewhere.md", figures, **given)


def test_the_chapter_prints_drops_orders_calibration_and_parts(project):
    page, row = text("sample", demo=False), project["drops"].set_index("source").loc["natural"]
    assert f"| Natural Images | {row['auc_inside']:.3f} | {row['auc_outside']:.3f} (" in page
    assert "2 of them are below .5 for a class" in page
    assert "the best source is ImageNet inside and Describable Textures" in page
    assert "Chest X-rays → COVID-19 X-rays was not evaluated: no images" in page
    assert "| site | b | " in page and "| overconfidence | " in page and "| near duplicate | 3 |" in page
    assert "fig-external-slopes-fine-tune" in page and "## Our runs on real images" not in page


def test_a_demo_shows_our_runs_on_real_images_and_says_that_it_has_none_itself(project):
    page = text("demo", demo=True)
    assert "*Our runs on real images.*" in page and "fig-evidence-own-elsewhere-fine-tune" in page
    assert "This profile evaluates no network on another collection" in page and "## This profile" not in page


def test_without_results_the_chapter_says_so(project):
    for path in own.axis_path("external_drops").parent.iterdir():
        path.unlink()
    page = text("demo", demo=True)
    assert "This profile evaluates no network" in page and "Key message" not in page and "{table}" not in page
