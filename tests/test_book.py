import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from catscans_lib import book, datasets, paths
from catscans_lib.errors import InputError

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT.parent / "shared" / "reference" / "paper_auc_means.csv"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)
# Two folds by hand. Means: dtd .85, imagenet .80, none .70, none longer .81; dtd minus none: .10 and .20.
AUCS = {
    ("dtd", "fine_tune"): (0.80, 0.90),
    ("imagenet", "fine_tune"): (0.82, 0.78),
    ("none", "fine_tune"): (0.70, 0.70),
    ("none", "fine_tune_long"): (0.84, 0.78),
    ("imagenet", "linear_probe"): (0.60, 0.62),
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder with the chapters, one small grid and finished runs: two sources, one target, two folds."""
    shutil.copytree(ROOT / "book", tmp_path / "book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "params").mkdir()
    for profile in ("demo", "sample"):
        (tmp_path / "params" / f"{profile}.yaml").write_text("title: tiny\nfolds: {n_folds: 2, seed: 7}\n")
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    return tmp_path


def add_run(profile, step, name, *, cells=None, figures=(), **tables):
    folder = paths.run_dir(profile, step, name)
    (folder / "figures").mkdir(parents=True)
    parameters = nbformat.v4.new_code_cell("source = 'imagenet'", metadata={"tags": ["parameters"]})
    injected = nbformat.v4.new_code_cell("source = 'dtd'", metadata={"tags": ["injected-parameters"]})
    notebook = nbformat.v4.new_notebook(
        cells=cells or [nbformat.v4.new_markdown_cell("# Own title"), parameters, injected]
    )
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    nbformat.write(notebook, folder / f"{step}.ipynb")
    record = {"step": step, "name": name, "parameters": {"source": "dtd"}, "seconds": 61.0, "peak_memory_mb": 512.0}
    (folder / "run.json").write_text(pd.Series({**record, "status": "completed"}).to_json())
    for stem in figures:
        (folder / "figures" / f"{stem}.png").write_bytes(PIXEL)
        (folder / "figures" / f"{stem}.csv").write_text("a\n1\n")
    for table, rows in tables.items():
        pd.DataFrame(rows).to_csv(folder / f"{table}.csv", index=False)


def evaluated():
    """Tables of the evaluation beside the AUCs; the pair is written as imagenet minus dtd, the book says dtd minus imagenet."""
    cell = {"source": "dtd", "target": "isic2018", "mode": "fine_tune"}
    rest = {"fold_sd": 0.07, "n_folds": 2, "n_seeds": 1, "n_images": 4, "n_groups": 2, "n_draws": 2000}
    ways = [("bootstrap over groups", 0.80, 0.91), ("DeLong over images", 0.79, 0.92)]
    intervals = [cell | rest | {"auc": 0.85, "low": low, "high": high, "method": way} for way, low, high in ways]
    pair = {"target": "isic2018", "mode": "fine_tune", "source_a": "imagenet", "source_b": "dtd"}
    comparisons = [
        pair | {"test": "nadeau_bengio", "p": 0.4, "p_adjusted": 0.8, "low": -0.9, "high": 0.9},
        pair | {"test": "wilcoxon", "p": 1.0, "p_adjusted": 1.0, "low": None, "high": None},
        pair | {"test": "bootstrap", "p": 0.3, "p_adjusted": 0.6, "low": -0.12, "high": 0.02},
    ]
    effects = [pair | {"rope": 0.01, "p_b_better": 0.7, "p_equivalent": 0.2, "p_a_better": 0.1}]
    ranks = {"mode": "fine_tune", "source": ["dtd", "none"], "mean_rank": [1.0, 2.0], "n_targets": 2}
    tables = {
        "auc_intervals": intervals, "score_intervals": [cell | {"transfer_score": 15.0, "low": 3.0, "high": 27.0}],
        "comparisons": comparisons, "effects": effects, "ranks": ranks | {"friedman_p": 0.12, "critical_difference": 1.4},
        "completeness": {"source": ["dtd", "stl10"], "target": "isic2018", "done": [True, False]},
    }  # fmt: skip
    return {name: pd.DataFrame(table) for name, table in tables.items()}


def add_results(profile):
    summary = [{"class": "NV", "split": "", "n_images": 30}, {"class": "a|b", "split": "", "n_images": 10}]
    problems = [{"path": "isic/a|b.jpg", "problem": "cannot identify `image` file"}]
    add_run(
        profile, "ingest", "isic2018", summary=summary, problems=problems, duplicates=[{"sha256": "0", "paths": "a b"}]
    )
    counts = [{"dataset": "dtd", "other": "isic2018", "n_identical": 1234, "n_alike": 5}]
    counts.append({"dataset": "isic2018", "other": "chest", "n_identical": 0, "n_alike": 0})
    add_run(profile, "overlaps", "all", counts=counts)
    for name in ("dtd", "imagenet", "none"):
        add_run(profile, "transfer", f"{name}--isic2018")
    figures = ("auc_heatmap_fine_tune", "auc_heatmap_linear_probe", "auc_bars_isic2018_fine_tune")
    add_run(profile, "evaluate", "all", figures=figures)
    add_run(profile, "stability", "all", figures=("stability", "learning_curves_isic2018"))
    add_run(profile, "feature_maps", "isic2018", figures=("feature_maps",))
    key = {"target": "isic2018", "seed": 0}
    rows = [
        {"source": source, **key, "mode": mode, "fold": fold, "average": "weighted", "auc": auc}
        for (source, mode), values in AUCS.items()
        for fold, auc in enumerate(values, start=1)
    ]
    scores = [
        {"source": "dtd", **key, "mode": "fine_tune", "fold": fold, "transfer_score": 10.0 * fold} for fold in (1, 2)
    ]
    paths.tables_dir(profile).mkdir(parents=True)
    pd.DataFrame(rows).to_csv(paths.tables_dir(profile) / "aucs.csv", index=False)
    pd.DataFrame(scores).to_csv(paths.tables_dir(profile) / "transfer_scores.csv", index=False)
    for name, table in evaluated().items():
        table.to_csv(paths.tables_dir(profile) / f"{name}.csv", index=False)
    paths.folds_path(profile, "isic2018").parent.mkdir()
    folds = {"image_id": ["1", "2", "3", "4"], "group": ["g", "g", "h", "h"], "label": ["NV", "DF", "NV", "DF"]}
    pd.DataFrame({**folds, "fold": [1, 1, 2, 2]}).to_csv(paths.folds_path(profile, "isic2018"), index=False)


def test_the_best_source_is_compared_with_both_baselines_fold_by_fold(project):
    add_results("sample")
    (target,) = book.numbers("sample")["targets"]
    answer, probe = target["answers"]
    assert (target["n_images"], target["n_groups"], target["n_folds"]) == (4, 2, 2)
    assert (answer["best"], answer["n_sources"], answer["runner_up"]["source"]) == ("dtd", 2, "imagenet")
    assert answer["mean"] == pytest.approx(0.85)
    assert answer["baseline"]["difference"]["mean"] == pytest.approx(0.15)
    assert answer["baseline"]["difference"]["sd"] == pytest.approx(0.0707, abs=1e-4)
    assert answer["baseline"]["n_better"] == 2
    assert answer["longer"]["difference"]["mean"] == pytest.approx(0.04)
    assert answer["longer"]["n_better"] == 1
    assert answer["score"] == {"mean": 15.0, "sd": pytest.approx(7.0711, abs=1e-4), "n": 2, "low": 3.0, "high": 27.0}
    assert (probe["best"], probe["baseline"], probe["longer"], probe["runner_up"]) == ("imagenet", None, None, None)


def test_a_difference_is_told_from_the_side_of_the_best_source_whichever_way_it_was_tested(project):
    add_results("sample")
    answer = book.numbers("sample")["targets"][0]["answers"][0]
    assert (answer["low"], answer["high"]) == (0.80, 0.91)
    told = {key: answer["runner_up"][key] for key in ("low", "high", "p", "p_adjusted", "better", "equivalent")}
    assert told == {"low": -0.02, "high": 0.12, "p": 0.4, "p_adjusted": 0.8, "better": 0.7, "equivalent": 0.2}
    assert "p" not in answer["baseline"]  # not compared: no number rather than a wrong one


def test_a_run_of_the_grid_that_is_missing_is_named_on_the_results_page(project):
    add_results("sample")
    text = (book.assemble("sample") / "results.md").read_text()
    assert "1 run of the grid is missing" in text
    assert "STL-10 → ISIC 2018." in text
    assert "*p* = 0.120" in text


def test_the_longer_baseline_is_a_row_of_its_own_and_never_the_best(project):
    add_results("sample")
    rows = book.numbers("sample")["results"]["fine_tune"]
    assert [row["title"] for row in rows[-2:]] == ["random weights, same budget", "random weights, longer budget"]
    assert [row["source"] for row in rows if row["cells"][0]["best"]] == ["dtd"]


def test_a_profile_without_results_says_which_command_makes_them(project):
    with pytest.raises(InputError, match="catscans sweep --profile sample"):
        book.assemble("sample")


def test_chapters_without_results_are_left_out_of_the_table_of_contents(project):
    add_run("sample", "ingest", "dtd", summary=[{"class": "banded", "split": "", "n_images": 3}])
    source = book.assemble("sample")
    toc = (source / "_toc.yml").read_text()
    assert "runs/ingest" in toc
    assert "runs/transfer" not in toc
    assert "No transfer run has been evaluated yet." in (source / "index.md").read_text()


def test_every_page_of_a_demo_book_says_demo_and_no_page_of_another_does(project):
    add_results("demo")
    add_results("sample")
    demo, sample = book.assemble("demo"), book.assemble("sample")
    assert "DEMO" in (demo / "_config.yml").read_text()
    assert "DEMO" not in (sample / "_config.yml").read_text()
    runs = sorted(demo.glob("runs/*/*.ipynb"))
    assert len(runs) == 8
    assert all("DEMO" in nbformat.read(path, as_version=4).cells[0].source for path in runs)
    assert not any("DEMO" in path.read_text() for path in sample.rglob("*.ipynb"))


def test_a_run_page_has_its_own_title_and_neither_noise_nor_the_folders_of_this_machine(project):
    noise = "[IPKernelApp] WARNING | TCP without encryption\n"
    outputs = [
        nbformat.v4.new_output("stream", name="stderr", text=noise),
        nbformat.v4.new_output("stream", name="stderr", text=noise + "a real warning\n"),
        nbformat.v4.new_output("stream", name="stdout", text=f"saved {project}/results/x.csv in {project}\n"),
    ]
    cells = [
        nbformat.v4.new_markdown_cell("# Transfer\n\nDoes it help?"),
        nbformat.v4.new_code_cell("target = 'isic2018'", metadata={"tags": ["injected-parameters"]}),
        nbformat.v4.new_code_cell("print(1)", outputs=outputs),
    ]
    add_run("sample", "transfer", "dtd--isic2018", cells=cells)
    page = nbformat.read(book.assemble("sample") / "runs/transfer/dtd--isic2018.ipynb", as_version=4)
    head, text, injected, code = page.cells
    assert head.source.startswith("# Transfer: dtd → isic2018\n")
    assert text.source == "Does it help?"
    assert "remove-input" in injected.metadata["tags"]
    assert [output.text for output in code.outputs] == ["a real warning\n", "saved results/x.csv in .\n"]


def test_assembling_again_touches_only_what_changed_and_deletes_what_is_gone(project):
    add_results("sample")
    source = book.assemble("sample")
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*") if path.is_file()}
    aucs = paths.tables_dir("sample") / "aucs.csv"
    aucs.write_text(aucs.read_text().replace(",0.8\n", ",0.79\n"))
    book.assemble("sample")
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {"aucs.csv", "index.md", "results.md", "discussion.md"}
    shutil.rmtree(paths.run_dir("sample", "transfer", "none--isic2018"))
    book.assemble("sample")
    assert not (source / "runs/transfer/none--isic2018.ipynb").exists()


def test_images_that_two_datasets_share_are_counted_where_they_were_searched_and_the_section_goes_with_the_run(project):
    def section():
        text = (book.assemble("sample") / "data.md").read_text()
        return text.partition("## Images that two datasets share\n")[2].partition("\n## ")[0]

    add_results("sample")
    folder = paths.run_dir("sample", "overlaps", "all")
    dtd, isic2018, chest = (datasets.get(name).title for name in ("dtd", "isic2018", "chest"))
    assert f"\n| {dtd} | {isic2018} | 1,234 | 5 |\n" in section()
    assert chest not in section()
    assert "[the run](runs/overlaps/all.ipynb)" in section()
    assert "| overlaps | 1 | 1 min 1 s |" in (book.assemble("sample") / "rerun.md").read_text()
    (folder / "counts.csv").write_text("dataset,other,n_identical,n_alike\ndtd,isic2018,0,0\n")
    assert section().startswith("\nNone.\n")
    shutil.rmtree(folder)
    assert section() == ""


def test_every_card_and_chapter_cites_a_work_that_is_in_the_bibliography():
    known = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text(), flags=re.M))
    chapters = "\n".join(path.read_text() for path in (ROOT / "book").glob("*.md"))
    cited = {key for keys in re.findall(r"\{cite(?::t)?\}`([\w,]+)`", chapters) for key in keys.split(",")}
    assert cited | {datasets.get(name).citation for name in datasets.known()} <= known


@pytest.mark.skipif(not PUBLISHED.exists(), reason="needs ../shared/reference with the published AUCs")
def test_the_table_of_published_aucs_agrees_with_the_published_files():
    chapter = (ROOT / "book/discussion.md").read_text().replace("−", "-")
    rows = {
        cells[1].strip(): cells[2:5]
        for cells in map(lambda line: line.split("|"), chapter.splitlines())
        if len(cells) == 6
    }
    titles = {"DTD": "dtd"} | {datasets.get(name).title: name for name in datasets.known()}
    published = pd.read_csv(PUBLISHED).set_index(["source", "target"])
    printed = 0
    for title, cells in rows.items():
        for target, cell in zip(("isic2018", "chest", "pcam_middle"), cells, strict=True):
            values = re.findall(r"[-+]?\d*\.\d+", cell)
            if title in titles and values:
                row = published.loc[(titles[title], target)]
                assert [float(values[0]), float(values[1])] == pytest.approx([row["mean"], row["std"]], abs=5.1e-4)
                assert len(values) == 2 or float(values[2]) == pytest.approx(row["score_mean"], abs=0.051)
                printed += 1
    assert printed == len(published)


@pytest.mark.parametrize(("seconds", "text"), [(7.25, "7.2 s"), (95, "1 min 35 s"), (7300, "2 h 1 min")])
def test_durations_read_as_people_say_them(seconds, text):
    assert book._clock(seconds) == text


def test_the_book_builds_without_a_warning_shows_the_numbers_and_needs_no_network(project):
    add_results("demo")
    index = book.build("demo")
    front = index.read_text()
    assert "AUC 0.850 (95 % 0.800 to 0.910)" in front
    assert "+0.150, better in 2 of 2" in front
    results = (index.parent / "results.html").read_text()
    assert "runs/transfer/dtd--isic2018.html" in results
    for page in set(index.parent.rglob("*.html")) - set(index.parent.rglob("_static/**/*.html")):
        assert "DEMO" in page.read_text()
        assert not re.search(r'<script[^>]*src="https?:', page.read_text()), page
    with pytest.raises(book.BookError, match="no_such_work"):
        (project / "book" / "discussion.md").write_text("# Discussion\n\n{cite}`no_such_work`\n")
        book.build("demo")
    with pytest.raises(book.BookError, match="no_such_work"):
        book.build("demo")  # a failed build must not pass the second time
