"""The notebook runs on the published tables, and the chapters print its numbers."""

import importlib.util
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from evidence_runs import ROOT, ran_notebook, without_own
from scipy import stats

from catscans_lib import datasets, figures
from catscans_lib.book import axes, templates
from catscans_lib.errors import InputError
from catscans_lib.evidence import chapters, studies
from catscans_lib.grid import expand
from catscans_lib.runs import contents

SPEC = importlib.util.spec_from_file_location("readme", ROOT / "benchmarks" / "readme.py")
readme = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(readme)
CHAPTERS = ("known", "across", "predict", "how_many", "original", "clinicians", "methodologists")
PAGES = (*CHAPTERS, "backbones")
FOLDED = 20  # rows from which on a table is folded


def executed(project, *, published_only):
    """Run the notebook in an empty project; returns the project."""
    for name in ("params", "book", "notebooks"):
        (project / name).symlink_to(ROOT / name)
    if published_only:
        without_own(project / "evidence")
    else:
        (project / "evidence").symlink_to(ROOT / "evidence")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(project))
        ran_notebook()
    return project


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A project in which the notebook ran on the published tables."""
    return executed(tmp_path_factory.mktemp("project"), published_only=True)


@pytest.fixture(scope="module")
def ran_on_all(ran, tmp_path_factory):
    """The same with our own results, if there are any."""
    has_own = list((ROOT / "evidence").glob("own_*.csv"))
    return executed(tmp_path_factory.mktemp("all"), published_only=False) if has_own else ran


def render(name, evidence, staged=()):
    nothing = {name: [] for name in axes.TABLES}
    given = {"profile": "demo", "demo": True, "demo_part": "", "axes": {"here": nothing, "own": nothing}}
    return templates.rendered(f"{name}.md", staged, **given, evidence=evidence)


def test_the_chapters_print_the_numbers_of_the_run(ran, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(ran))
    found = chapters.numbers("demo")
    svgs = {path.name for path in ran.glob("results/demo/evidence/all/figures/*.svg")}
    assert svgs == {"forest.svg", "means.svg", "sizes.svg"}
    assert not any(figures.DEMO_STAMP in path.read_text() for path in ran.rglob("*.svg"))
    staged = {f"figures/evidence/all/{name}" for name in svgs}
    text = {name: render(name, found, staged) for name in PAGES}
    assert all("not been computed" not in chapter for chapter in text.values())
    for study in studies.described().values():
        assert study.title in text["known"] and all(
            caveat in text["known"] + text["predict"] for caveat in study.caveats
        )
    known = text["known"]
    assert known.index(studies.described()["radimagenet"].caveats[0]) < known.index("tab-known-radimagenet")
    assert (
        "The natural source is ahead on 6 of 7 targets." in known
        and "none of these differences has an interval" in known
    )
    assert "| **fine-tuned networks** | 19 of 25 | +0.015 | 13 | +0.022 (+0.004 to +0.040) |" in text["across"]
    assert "agree by τ = 0.04 (Brain tumour), 0.33 (BreakHis), 0.33 (ISIC 2019)" in text["predict"]
    assert "By the interval of the difference, **no score** orders better" in text["predict"]
    assert "| COVIDx | 10 | +0.074 (+0.017 to +0.132) | 0.1076 | +0.30 |" in text["how_many"]
    published = pd.read_csv(ROOT / "evidence/xray_scale.csv", dtype={"n_per_class": str})
    one = published.query("target == 'covidx' and n_per_class == '10' and backbone == 'resnet50x1_bit'").groupby(
        "source"
    )
    row = f"<td>ImageNet-1k (BiT ResNet-50x1)</td><td>20</td><td>{one['value'].mean()['imagenet1k']:.4f}</td>"
    assert row in text["how_many"]
    wide = (
        published.query("target == 'covidx' and n_per_class == 'all'")
        .pivot_table("value", "source", "backbone")
        .dropna()
    )
    tau = stats.kendalltau(*wide.to_numpy().T)
    assert f"| COVIDx | all | {len(wide)} | +{tau.statistic:.2f} | {tau.pvalue:.3f} |" in text["backbones"]
    assert "Over all 24 pairs of source and target" in text["original"]


def test_the_front_page_has_one_sentence_three_points_and_a_caveat_linked_to_their_tables(ran, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(ran))
    answer = render("_evidence", chapters.numbers("demo"))
    points = [line for line in answer.splitlines() if re.match(r"\d\. |\*\*The caveat", line)]
    assert len(points) == 4 and all("{numref}`tab-" in line for line in points)
    tables = "\n".join((ROOT / f"book/{name}.md").read_text() for name in CHAPTERS)
    labels = re.findall(r"\{numref\}`([^`]+)`", answer)
    assert all(label in tables or label.startswith("tab-known-") for label in labels)
    assert "they were the better source on 19 of 25 published medical targets; and none of the" in answer
    assert "between natural and medical sources is +0.022 (95 % +0.004 to +0.040" in points[0]
    assert "medical sources are ahead on 36 of 41 tasks" in points[1]
    assert "12 of 74 targets have no interval, because nothing was repeated" in points[3]
    assert "Without either of 2 studies, the interval of the mean contains 0" in points[0]
    assert "3 of 49 scores" not in points[2] and "none after correction for all 4 tables" in points[2]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.03, "start from natural"), (-0.03, -0.01, "start from medical"), (-0.01, 0.01, "Neither natural nor")],
)
def test_the_answer_in_one_sentence_follows_the_interval(ran, monkeypatch, low, high, words):
    monkeypatch.setenv("CATSCANS_ROOT", str(ran))
    found = chapters.numbers("demo")
    found["summaries"]["alike"]["fine-tuned"] |= {"low": low, "high": high}
    assert words in render("_evidence", found)


def test_chapters_print_titles_and_no_keys_and_fold_long_tables(ran_on_all, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(ran_on_all))
    found, own = chapters.numbers("demo"), axes.numbers("demo")
    keys = {name for name in datasets.known() if not re.fullmatch("chest|natural|malaria", name)}
    for name in (*PAGES, "variance", "elsewhere", "conclusion"):
        text = templates.rendered(
            f"{name}.md", (), **own, profile="demo", demo=True, demo_part="", evidence=found, answers=[]
        )
        printed = re.sub(
            r"\{[\w:]+\}`[^`]*`|`[^`]*`|:name: \S+|<[^>]*>", " ", text
        )  # without code, citations and labels
        assert not keys & set(re.findall(r"[a-z]\w+", printed)), name
        outside = re.sub(r"(?s)^::::\{dropdown\}.*?^::::$|<details>.*?</details>", "", text, flags=re.M)
        tables = re.findall(r"(?m)(?:^\|.*\n)+", outside)
        assert all(table.count("\n") <= 2 + FOLDED for table in tables), name


def test_without_the_run_the_chapters_say_how_to_compute_it(monkeypatch, tmp_path):
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    (tmp_path / "book").symlink_to(ROOT / "book")
    assert chapters.numbers("demo") is None
    for name in CHAPTERS:
        assert ".venv/bin/catscans sweep --profile demo evidence/all" in render(name, None)


def test_the_readme_has_the_answer_and_the_picture_that_its_command_writes(ran_on_all, monkeypatch):
    ran = ran_on_all
    monkeypatch.setenv("CATSCANS_ROOT", str(ran))
    committed = (ROOT / "README.md").read_text()
    assert committed.partition(readme.BEGIN)[2].partition(readme.END)[0] == readme.paragraph("demo")
    drawn = (ran / "results/demo/evidence/all/figures/means.svg").read_text()
    one, other = (re.findall(r">([^<>]+)</text>", text) for text in ((ROOT / readme.PICTURE).read_text(), drawn))
    assert one == other
    places = [np.array(re.findall(r"-?\d+\.\d+", text), float) for text in ((ROOT / readme.PICTURE).read_text(), drawn)]
    np.testing.assert_allclose(*places, atol=1)  # points; fonts differ between machines
    (ran / "README.md").write_text(f"# Title\n\n{readme.BEGIN}old\n{readme.END}rest\n")
    (ran / "book").unlink()
    shutil.copytree(ROOT / "book", ran / "book")
    readme.write("demo")
    assert (ran / "README.md").read_text() == f"# Title\n\n{readme.BEGIN}{readme.paragraph('demo')}{readme.END}rest\n"
    (ran / "README.md").write_text("# Title\n")
    with pytest.raises(InputError, match="README.md lacks the lines"):
        readme.write("demo")
    with pytest.raises(InputError, match="Profile 'sample' has no evidence. Make it: catscans sweep"):
        readme.paragraph("sample")


def test_every_profile_computes_the_evidence_and_again_when_a_table_changes():
    for profile in ("demo", "sample", "paper"):
        run = expand.grid(profile)["evidence/all"]
        assert set(contents.of_run(run)) == {"evidence"} and not run.needs


def test_results_of_older_code_name_the_tables_that_they_lack(tmp_path, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    folder = tmp_path / "results/demo/evidence/all"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"status": "completed"}')
    for name in set(chapters.TABLES) - {"by_backbone"}:
        (folder / f"{name}.csv").write_text("a\n")
    with pytest.raises(
        InputError, match=r"evidence/all of profile demo lacks by_backbone: other code made it. Make it again: "
    ):
        chapters.numbers("demo")
