import doctest
import json
import re
import shutil
import subprocess
import tomllib
from datetime import UTC, datetime

import nbformat
import pandas as pd
import pytest
import yaml
from finished import pages
from small_book import ROOT, add_results, add_run, add_similarity, loads_from_outside, make

from catscans_lib import book, datasets, errors, paths
from catscans_lib.book import assembly, citation, templates
from catscans_lib.book.numbers import numbers
from catscans_lib.errors import InputError
from catscans_lib.grid import experiments
from catscans_lib.runs import recipe
from catscans_lib.runs.records import tables

CHAPTERS = "\n".join(path.read_text() for path in (ROOT / "book").glob("*.md"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder with the chapters, one small grid and no results yet."""
    make(tmp_path)
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def results(project):
    """The project with results of the profile "sample"."""
    add_results("sample")
    return project


def chapter(name, section=None, profile="sample"):
    """Assemble a book; return a chapter or the text of one section."""
    text = (book.assemble(profile) / f"{name}.md").read_text()
    return text.partition(f"## {section}\n")[2].partition("\n## ")[0] if section else text


def test_the_best_source_is_compared_with_both_baselines_fold_by_fold(results):
    found = numbers("sample")
    (target,) = found["targets"]
    answer, probe = target["answers"]
    assert (target["n_images"], target["n_groups"], target["n_folds"]) == (4, 2, 2)
    assert (answer["best"], answer["n_sources"], answer["runner_up"]["source"]) == ("dtd", 2, "imagenet")
    assert answer["mean"] == pytest.approx(0.85)
    assert answer["baseline"]["difference"]["mean"] == pytest.approx(0.15)
    assert answer["longer"]["difference"]["mean"] == pytest.approx(0.04)
    assert (answer["baseline"]["n_better"], answer["longer"]["n_better"]) == (2, 1)
    cell = next(row for row in found["results"]["fine_tune"] if row["source"] == "dtd")["cells"][0]
    assert (cell["gain"]["gain"], cell["gain"]["low"], cell["gain"]["transfer_score"]) == (0.11, -0.03, 15.0)
    assert (probe["best"], probe["baseline"], probe["longer"], probe["runner_up"]) == ("imagenet", None, None, None)


def test_differences_are_best_source_minus_other_whichever_way_they_were_tested(results):
    answer = numbers("sample")["targets"][0]["answers"][0]
    assert (answer["low"], answer["high"]) == (0.80, 0.91)
    expected = {"low": -0.8, "high": 0.9, "p": 0.4, "p_adjusted": 0.8, "verdict": "open"}
    expected |= {"image_low": -0.02, "image_high": 0.12}
    assert {key: answer["runner_up"][key] for key in expected} == expected
    assert answer["pairs"] == {"all": 1, "known": 0, "equivalent": 0, "open": 1}
    assert "p" not in answer["baseline"]  # not compared: no number rather than a wrong one


def test_the_results_page_names_missing_runs_of_the_grid(results):
    text = chapter("results")
    assert "1 run of the grid is missing" in text and "STL-10 → ISIC 2018." in text
    assert "*p* = 0.120" in text


def test_the_longer_baseline_has_its_own_row_and_is_never_the_best(results):
    rows = numbers("sample")["results"]["fine_tune"]
    assert [row["title"] for row in rows[-2:]] == ["random weights, same budget", "random weights, longer budget"]
    assert [row["source"] for row in rows if row["cells"][0]["best"]] == ["dtd"]


def test_chapters_without_results_are_left_out_of_the_table_of_contents(project):
    with pytest.raises(InputError, match="catscans sweep --profile sample"):
        book.assemble("sample")
    add_run("sample", "ingest", "dtd", summary=[{"class": "banded", "split": "", "n_images": 3}])
    source = book.assemble("sample")
    toc = (source / "_toc.yml").read_text()
    assert "runs/ingest" in toc
    assert "runs/transfer" not in toc
    assert "No transfer run has been evaluated yet." in (source / "answer.md").read_text()


def test_every_page_of_a_demo_book_says_demo_and_no_page_of_another_profile_does(results):
    add_results("demo")
    demo, sample = book.assemble("demo"), book.assemble("sample")
    assert "DEMO" in (demo / "_config.yml").read_text()
    assert "DEMO" not in (sample / "_config.yml").read_text()
    runs = sorted(demo.glob("runs/*/*.ipynb"))
    assert len(runs) == 8
    assert all("DEMO" in nbformat.read(path, as_version=4).cells[0].source for path in runs)
    assert not any("DEMO" in path.read_text() for path in sample.rglob("*.ipynb"))


def test_a_run_page_has_its_own_title_and_no_log_noise_or_absolute_paths(project):
    noise = "[IPKernelApp] WARNING | TCP without encryption\n"
    said = f"saved {project}/results/x.csv in {project}\n"
    streams = [("stderr", noise), ("stderr", noise + "a real warning\n"), ("stdout", said)]
    outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in streams]
    cells = [
        nbformat.v4.new_markdown_cell("# Transfer\n\nDoes it help?"),
        nbformat.v4.new_code_cell("target = 'isic2018'", metadata={"tags": ["injected-parameters"]}),
        nbformat.v4.new_code_cell("print(1)", outputs=outputs),
    ]
    add_run("sample", "transfer", "dtd--isic2018", cells=cells)
    page = nbformat.read(book.assemble("sample") / "runs/transfer/dtd--isic2018.ipynb", as_version=4)
    head, text, injected, code = page.cells
    assert head.source.startswith("# Transfer: Describable Textures (DTD) → ISIC 2018\n")
    assert "| run | `transfer/dtd--isic2018` |" in head.source
    assert text.source == "Does it help?"
    assert "remove-input" in injected.metadata["tags"]
    assert [output.text for output in code.outputs] == ["a real warning\n", "saved results/x.csv in .\n"]


def test_a_run_page_offers_its_figures_as_svg_with_their_numbers(project):
    add_run("sample", "evaluate", "all")
    for ending, content in (("svg", "<svg/>"), ("csv", "a\n1\n")):
        (paths.run_dir("sample", "evaluate", "all") / f"figures/summary.{ending}").write_text(content)
    source = book.assemble("sample")
    head = nbformat.read(source / "runs/evaluate/all.ipynb", as_version=4).cells[0].source
    places = re.findall(r"{download}`summary\.\w+ <\.\./\.\./([^>]+)>`", head)
    assert places == ["figures/evaluate/all/summary.svg", "figures/evaluate/all/summary.csv"]
    assert all((source / place).is_file() for place in places)


def test_assembling_again_writes_only_changed_files_and_deletes_old_ones(results):
    source = book.assemble("sample")
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*") if path.is_file()}
    aucs = paths.tables_dir("sample") / "aucs.csv"
    aucs.write_text(aucs.read_text().replace(",0.8\n", ",0.79\n"))
    book.assemble("sample")
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {"answer.md", "aucs.csv", "conclusion.md", "results.md", "tables.zip"}
    shutil.rmtree(paths.run_dir("sample", "transfer", "none--isic2018"))
    book.assemble("sample")
    assert not (source / "runs/transfer/none--isic2018.ipynb").exists()


@pytest.mark.parametrize("name", ["data", "methods", "results", "similarity", "feature_maps"])
def test_chapters_of_the_study_begin_with_their_key_message(results, name):
    add_similarity("sample")
    page = chapter(name)
    assert "{admonition} Key message" in page.partition("\n## ")[0]
    message = page.partition("{admonition} Key message")[2].partition("\n:::")[0]
    assert len(message.split()) > 20 and "nan" not in message


def test_the_data_chapter_counts_shared_images_only_with_an_overlaps_run(results):
    folder = paths.run_dir("sample", "overlaps", "all")
    dtd, isic2018, chest = (datasets.get(name).title for name in ("dtd", "isic2018", "chest"))
    shared = "Images shared between datasets"
    text = chapter("data", shared)
    assert f"\n| {dtd} | {isic2018} | 1,234 | 5 |\n" in text and chest not in text
    assert "[the run](runs/overlaps/all.ipynb)" in text
    assert "| overlaps | 1 | 1 min |" in chapter("rerun")
    (folder / "counts.csv").write_text("dataset,other,n_identical,n_alike\ndtd,isic2018,0,0\n")
    assert chapter("data", shared).startswith("\nNone.\n")
    shutil.rmtree(folder)
    assert chapter("data", shared) == ""


def test_the_data_chapter_counts_the_images_and_groups_left_out_of_a_source(results):
    titles = datasets.titles()
    removed = [{"target": target, "n_removed": 40, "n_groups": 7} for target in ("isic2018", "chest")]
    add_run("sample", "pretrain", "stl10", removed=removed)
    text = chapter("data", "Images left out of the sources")
    assert f"| source | {titles['isic2018']} |\n| --- | ---: |\n| {titles['stl10']} | 40 (7) |" in text


def test_every_citation_of_cards_and_chapters_is_in_the_bibliography():
    known = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text(), flags=re.M))
    cited = {key for keys in re.findall(r"\{cite(?::t)?\}`([\w,]+)`", CHAPTERS) for key in keys.split(",")}
    assert cited | {datasets.get(name).citation for name in datasets.known()} <= known


def test_the_python_examples_of_the_chapters_import_what_exists():
    examples = re.findall(r"^```python\n(.*?)^```", CHAPTERS, flags=re.M | re.S)
    assert len(examples) >= 2
    for example in examples:
        exec("\n".join(re.findall(r"^(?:from|import) .*", example, flags=re.M)), {})


def test_the_examples_in_docstrings_hold():
    for module in (templates, errors, experiments, tables):
        assert doctest.testmod(module).attempted and doctest.testmod(module).failed == 0, module


def test_a_sentence_changes_when_a_result_changes(results):
    front = chapter("answer")
    run = "runs/transfer/{}--isic2018.ipynb"
    dtd = f"**Describable Textures (DTD)** for ISIC 2018 (AUC [0.850]({run.format('dtd')}), 95 % 0.800 to 0.910), of 2 sources."
    assert dtd in front
    assert "the AUC changes by +0.150; against random weights with the longer budget, by +0.040." in front
    path = paths.tables_dir("sample") / "aucs.csv"
    aucs = pd.read_csv(path)
    aucs.loc[(aucs["source"] == "dtd") & (aucs["mode"] == "fine_tune"), "auc"] = 0.7
    aucs.to_csv(path, index=False)
    front = chapter("answer")
    assert f"**ImageNet** for ISIC 2018 (AUC [0.800]({run.format('imagenet')}), 95 % – to –), of 2 sources." in front
    assert "the AUC changes by +0.100; against random weights with the longer budget, by −0.010." in front


@pytest.fixture
def with_random_features(results):
    """The results with a logistic regression on random features: AUC .80 and .82, so that dtd is .00 and .08 better."""
    path = paths.tables_dir("sample") / "aucs.csv"
    aucs = pd.read_csv(path)
    probe = aucs[(aucs["source"] == "none") & (aucs["mode"] == "fine_tune")].assign(
        mode="linear_probe", auc=[0.80, 0.82]
    )
    pd.concat([aucs, probe]).to_csv(path, index=False)


def failing(source):
    """Let the fine-tuned network of a source not learn in the first of two trainings."""
    rows = [("dtd", "learned"), ("none", "learned"), (source, "did not learn")]
    key = {"target": "isic2018", "mode": "fine_tune", "fold": 1, "seed": 0}
    table = pd.DataFrame([key | {"source": name, "verdict": verdict} for name, verdict in rows])
    table.to_csv(paths.tables_dir("sample") / "learning.csv", index=False)


def test_a_logistic_regression_on_random_features_stands_beside_every_source(with_random_features):
    row = numbers("sample")["results"]["fine_tune"][-1]
    assert (row["title"], row["cells"][0]["mean"]) == ("random features, logistic regression", pytest.approx(0.81))
    assert "against a logistic regression on the features of random weights, by +0.040." in chapter("answer")
    assert "| random features, logistic regression | +0.040 | – | – | – | 1 of 2 |" in chapter(
        "results", "Which differences between sources are known?"
    )


def test_no_gain_is_printed_over_a_baseline_that_did_not_learn(with_random_features):
    failing("none")
    front, results = chapter("answer"), chapter("results")
    words = "did not learn in 1 of 2 trainings"
    assert "+0.150" not in front + results
    assert f"the AUC changes by **unknown** (the baseline {words}); against random weights with the longer" in front
    assert f"| random weights, same budget | {words} | – |" in results
    assert re.search(rf"\| random weights, same budget \| \[0.700\].*<br>\*\*{words}\*\*", results)


def test_a_source_that_did_not_learn_is_marked_and_never_the_best(results):
    failing("dtd")
    answer = numbers("sample")["targets"][0]["answers"][0]
    assert (answer["best"], answer["runner_up"]) == ("imagenet", None)
    assert "did not learn in 1 of 2 trainings" in chapter("results", "How high is each AUC?")


def test_what_each_source_saw_stands_beside_its_results_and_published_weights_are_marked(results):
    losses = [{"epoch": e, "split": s, "metric": "loss", "value": 1 / e, "learning_rate": 3e-4}
              for e in (1, 2, 3, 4) for s in ("train", "validation")]  # fmt: skip
    add_run("sample", "pretrain", "dtd", history=losses)
    add_run("sample", "pretrain", "imagenet")
    add_run("sample", "ingest", "dtd", summary=[{"class": name, "split": "", "n_images": 50} for name in "abcd"])
    settings = {"validation_share": 0.1, "class_weights": "balanced", "patience": None, "weights": None}
    for name, facts, weights in (("dtd", {"n_images": 200}, None), ("imagenet", {}, "squeezenet.h5")):
        path = paths.run_dir("sample", "pretrain", name) / "run.json"
        record = json.loads(path.read_text()) | facts | {"parameters": settings | {"weights": weights}}
        path.write_text(json.dumps(record))
    table = chapter("results", "How much did each source see?")
    row = "| Describable Textures (DTD) | 200 | 4 | 4 | about 720 | 0.0003 | 0.250 (1.386) | 0.850 |"  # ln 4; 200 x 0.9 x 4
    assert row in table
    assert "| ImageNet, published weights (`squeezenet.h5`) | 1,281,167 | 1,000 | – | – | – | – | 0.800 |" in table


def test_the_front_page_says_which_profile_it_is_and_from_which_commit(results):
    add_results("demo")
    for name in ("init", "add .", "-c user.name=a -c user.email=a@b commit -m a"):
        subprocess.run(["git", *name.split()], cwd=results, check=True, capture_output=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=results, capture_output=True, text=True).stdout[:12]
    sample = chapter("index")
    assert "Profile DEMO: made-up images, not a medical result" in chapter("index", profile="demo")
    assert "Profile SAMPLE" in sample and f"from commit `{commit}`" in sample
    assert re.search(r"Built \d+ \w+ \d{4}( from|;)", sample)


def test_the_front_page_names_the_runs_that_are_missing_or_outdated(results):
    gaps = {"missing": ["transfer/a--b"], "outdated": [f"transfer/{n}--b" for n in range(40)]}
    front = (book.assemble("sample", gaps) / "index.md").read_text()
    assert "This book lacks results: 1 run of the grid is missing: `transfer/a--b`." in front
    assert "40 runs of the grid are outdated, so older results are shown: `transfer/0--b`, " in front
    assert "`transfer/28--b` and `transfer/29--b` and 10 more." in front
    assert "This book lacks" not in chapter("index")


def test_a_profile_of_the_users_own_has_a_front_page(results):
    for place in ("params/{}.yaml", "results/{}"):
        (results / place.format("sample")).rename(results / place.format("demo+short"))
    assert "The grid `params/demo+short.yaml`." in chapter("index", profile="demo+short")


@pytest.mark.parametrize(
    ("name", "template", "message"),
    [
        (
            "results.md",
            "# Results\n\n{{ no_such_number }}\n",
            r"book/results\.md, line 3, .*: .*'no_such_number' is undefined",
        ),
        ("results.md", "# Results\n{{ profile.title.words }}\n", r"book/results\.md, line 2, .*'words'"),
        ("results.md", "# Results\n{% if demo %}\n", r"book/results\.md, line 2, .*Unexpected end of template"),
        ("results.md", "# Results\n{{ profile | signed }}\n", r"book/results\.md, line 2, .*ValueError"),
        ("_answer.md", "{{ answers[0].no_such_field }}\n", r"book/_answer\.md, line 1, .*'no_such_field'"),
        ("_dataset.md", "\n\n\n{{ d.no_such_field }}\n", r"book/_dataset\.md, line 4, .*'no_such_field'"),
        ("_run_head.md", "{{ run.no_such_field.name }}\n", r"book/_run_head\.md, line 1, .*'no_such_field'"),
    ],
)
def test_a_faulty_chapter_is_reported_with_file_line_and_what_is_missing(results, name, template, message):
    (results / "book" / name).write_text(template)
    with pytest.raises(InputError, match=message):
        book.assemble("sample")


@pytest.mark.parametrize("content", ["backbone: densenet121\ntransfer: [", "", "title: {}\n"])
def test_a_book_depends_on_its_own_profile_alone(results, content):
    before = pages(book.assemble("sample"))
    for name in ("paper", "demo"):
        (results / "params" / f"{name}.yaml").write_text(content)
    assert pages(book.assemble("sample")) == before


def test_links_to_binder_and_colab_follow_from_the_address_of_the_repository(results):
    (results / "CITATION.cff").write_text("title: none\n")
    text = chapter("rerun", "In the cloud")
    assert "(https://" not in text
    assert "https://mybinder.org/v2/gh/OWNER/NAME/HEAD?urlpath=lab/tree/notebooks/reanalysis.ipynb" in text
    (results / "CITATION.cff").write_text("repository-code: https://github.com/someone/cats\n")
    text = chapter("rerun", "In the cloud")
    assert "(https://mybinder.org/v2/gh/someone/cats/HEAD?urlpath=lab/tree/notebooks/reanalysis.ipynb)" in text
    assert "(https://colab.research.google.com/github/someone/cats/blob/HEAD/notebooks/reanalysis.ipynb)" in text


@pytest.mark.parametrize(
    ("stated", "text", "gaps"),
    [
        (None, "Ours (2026). Cats (commit abc).", ["version", "date", "licence", "doi", "address"]),
        (
            {
                "title": "All", "version": 2, "date-released": "2025-01-02", "license": "MIT", "doi": "10.1/x",
                "repository-code": "https://u",
                "authors": [{"family-names": "Aa", "given-names": "B"}, {"name": "Team"}],
            },
            "Aa, B and Team (2025). All (version 2, commit abc). https://doi.org/10.1/x", [],
        ),
    ],
)  # fmt: skip
def test_the_citation_says_what_the_copy_states_and_names_what_it_lacks(tmp_path, monkeypatch, stated, text, gaps):
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    (tmp_path / "_config.yml").write_text("title: Cats\nauthor: Ours\n")
    if stated:
        (tmp_path / "CITATION.cff").write_text(yaml.safe_dump(stated))
    found = citation.cited("abc", datetime(2026, 1, 1, tzinfo=UTC))
    assert (found["text"], [one.split()[0] for one in found["gaps"]]) == (text, gaps)
    assert "commit (the project is no git repository)" in citation.cited("", datetime(2026, 1, 1, tzinfo=UTC))["gaps"]


@pytest.mark.parametrize(
    ("key", "value", "gap"),
    [
        ("license", "Foo-1.0", "licence (`license` in `CITATION.cff` is 'Foo-1.0', of unknown form; a known one: MIT"),
        ("doi", "https://doi.org/10.5281/zenodo.1", "of unknown form; a known one: 10.5281/zenodo.1234567)"),
        ("repository-code", "owner/name", "of unknown form; a known one: https://github.com/owner/name)"),
        ("date-released", "24 November", "date (`date-released` in `CITATION.cff` is '24 November', of unknown form"),
    ],
)
def test_a_licence_or_address_of_unknown_form_is_named_and_not_printed(results, key, value, gap):
    stated = yaml.safe_load((ROOT / "CITATION.cff").read_text()) | {key: value}
    (results / "CITATION.cff").write_text(yaml.safe_dump(stated))
    (said,) = [one for one in citation.cited("abc", datetime(2026, 1, 1, tzinfo=UTC))["gaps"] if key in one]
    assert gap in said
    front = chapter("index")
    assert said in front and f"{value} ·" not in front and "version 0.1.0" in front


def test_a_book_without_version_commit_and_address_says_so_on_its_front_page(results, monkeypatch):
    monkeypatch.setattr(recipe, "commit", lambda: "")
    (results / "CITATION.cff").write_text("title: Cats\nauthors: [{name: Team}]\n")
    front = chapter("index")
    assert "*Team* · [cite](#citing)" in front
    assert "address (`repository-code` in `CITATION.cff`); commit (the project is no git repository)" in front


@pytest.mark.parametrize("text", ["a: [", "- a\n"])
def test_a_damaged_citation_file_is_named(results, text):
    (results / "CITATION.cff").write_text(text)
    with pytest.raises(
        InputError, match=r"(?s)^CITATION\.cff (is not readable as YAML in line|.* Restore it from git\.$)"
    ):
        chapter("index")


def test_every_explained_word_has_its_entry_in_the_glossary(results):
    pages = {path.name: path.read_text() for path in book.assemble("sample").glob("*.md")}
    used = {place for text in pages.values() for place in re.findall(r'href="glossary\.html#([^"]+)"', text)}
    assert used and used <= set(re.findall(r"^\((term-[^)]+)\)=$", pages["glossary.md"], re.M))


def test_a_figure_links_to_its_numbers_run_and_notebook_and_has_an_alternative_text():
    place = "figures/evaluate/all/summary_fine_tune"
    staged = {f"{place}.svg", f"{place}.csv", "runs/evaluate/all.ipynb", "notebooks/evaluate.ipynb"}
    name = ("evaluate", "all", "summary_fine_tune")
    text = templates.figure(staged, *name, "AUC of *every* source {cite}`holm1979`.")
    label = "fig-evaluate-summary-fine-tune"
    assert f":::{{figure}} /{place}.svg\n:name: {label}\n:alt: AUC of every source holm1979." in text
    assert f"Numbers: {{download}}`summary_fine_tune.csv </{place}.csv>`" in text
    notebook = "{download}`evaluate.ipynb </notebooks/evaluate.ipynb>`"
    assert f"made in [this run](/runs/evaluate/all.ipynb) of {notebook}." in text
    assert templates.numbered(staged, *name) == f"{{numref}}`{label}`"
    assert templates.figure(staged, "evaluate", "all", "other", "Never made.") == ""
    assert templates.numbered(staged, "evaluate", "all", "other") == ""


def test_every_dataset_has_a_page_with_its_card_and_its_problems(results):
    page = chapter("datasets/isic2018")
    assert "| images, found here | 40 |" in page
    assert "| `NV` | 30 | 75.0 % |" in page
    assert r"| `isic/a\|b.jpg` | `cannot identify 'image' file` |" in page
    assert "| sets of byte-identical files | 1, each kept in one fold |" in page
    assert "4 images in 2 groups" in page


def test_measures_are_cited(results):
    add_similarity("sample")
    source = book.assemble("sample")
    similarity = (source / "similarity.md").read_text()
    logme = "| LogME | larger | size | the most widely used score; *recommend* uses it | {cite:t}`you2021` |"
    assert logme in similarity
    assert "| LogME | larger | size | 0.25 | – | – |" in similarity  # the spread over draws; it compares no images
    assert "| Kernel distance | larger | size | 1.00 | 0.010 | 0.400 |" in similarity
    assert "measure declared before any result is **LogME**" in similarity
    assert "it puts Describable Textures (DTD) closest" in similarity
    assert similarity.index("tab-leading") < similarity.index("tab-measures")
    assert r"`LogME of stl10 and isic2018 has no value (seed 0): no \| convergence`" in similarity


def test_the_page_of_prediction_opens_with_what_was_declared_and_what_could_have_been_found(results):
    add_similarity("sample")
    page = (book.assemble("sample") / "transferability.md").read_text()
    opening, _, rest = page.partition("## ")
    assert "**Declared before any result** (`params/sample.yaml`): LogME should predict" in opening
    assert (
        "ρ = 1.00 (95 % −1.00 to 1.00; *p* = 0.500), pooled over 1 target." in opening
        and "it is known to beat no rule" in opening
    )
    assert "with 80 % power is 0.62 if the targets are independent samples, and 0.88 if" in opening
    assert (
        "repeats over folds with reliability 0.64, so no measure can be expected to correlate by more than 0.80"
        in opening
    )
    assert "| always ImageNet | +0.12 (−0.25 to +0.50) | +0.125 (−0.250 to +0.500) | open |" in rest
    assert ":::{dropdown} Every measure and *rule*" in rest


def test_the_front_page_declares_the_comparison_and_prints_no_correlation_of_few_sources(results):
    add_similarity("sample")
    page = (book.assemble("sample") / "answer.md").read_text()
    assert page.index("**Declared before any result**") < page.index("Which source")
    assert "2 sources per target and 1 target are too few" in page and "ρ = " not in page
    found = results_with_five_sources()
    page = (book.assemble("sample") / "answer.md").read_text()
    assert f"LogME, the measure declared in advance, has ρ = {found:.2f}, pooled over targets" in page


def results_with_five_sources():
    """Change the associations to five sources of three targets; return ρ."""
    path = paths.tables_dir("sample") / "associations.csv"
    table = pd.read_csv(path)
    single = table[table["target"] != "all"]
    parts = [single.assign(target=name) for name in ("isic2018", "chest", "pcam_middle")]
    pd.concat([*parts, table[table["target"] == "all"]]).assign(n=5).to_csv(path, index=False)
    return 1.0


def test_labels_are_unique_and_every_reference_has_one(results):
    text = "\n".join(path.read_text() for path in book.assemble("sample").rglob("*.md"))
    labels = re.findall(r"^:(?:name|label): (\S+)$", text, flags=re.M)
    assert len(labels) == len(set(labels))
    used = re.findall(r"\{(?:eq|numref|ref)\}`([\w-]+)`", text)
    assert set(used) <= set(labels)
    assert len([label for label in labels if label.startswith("eq-")]) >= 6


def test_the_book_builds_without_warnings_shows_the_numbers_and_needs_no_network(project):
    add_results("demo")
    add_similarity("demo")
    gaps = {"missing": ["transfer/stl10--isic2018"], "outdated": ["evaluate/all", "stability/all"]}
    index = book.build("demo", gaps)
    assert "transfer/stl10--isic2018" in index.read_text()
    front = (index.parent / "answer.html").read_text()
    run = r'<a [^>]*href="runs/transfer/dtd--isic2018.html"[^>]*>.*?0\.850.*?</a>'
    assert re.search(rf"\(AUC {run}, 95 % 0\.800 to 0\.910\)", front)
    assert "+0.150, better in 2 of 2" in front
    results = (index.parent / "results.html").read_text()
    assert "runs/transfer/dtd--isic2018.html" in results
    for page in set(index.parent.rglob("*.html")) - set(index.parent.rglob("_static/**/*.html")):
        assert "DEMO" in page.read_text()
        assert loads_from_outside(page.read_text()) == [], page
        assert "unpkg" not in page.read_text()
    assert "scripts/mathjax.js" in (index.parent / "methods.html").read_text()
    assert "mathjax.js" not in index.read_text()  # 2 MB for a page without formulas
    assert not re.search(r"<button(?![^>]*type=)", index.read_text())
    assert "searchindex.js" not in index.read_text() and "searchindex.js" in (index.parent / "search.html").read_text()
    pages = {page: page.read_bytes() for page in index.parent.rglob("*.html")}
    assembly._finish(index.parent, [])
    assert {page: page.read_bytes() for page in pages} == pages
    download = nbformat.read(index.parent / "_sources/runs/transfer/dtd--isic2018.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in download.cells)
    log = project / "_build/demo/book.log"
    built = log.stat().st_mtime_ns
    assert book.build("demo", gaps) == index and log.stat().st_mtime_ns == built  # nothing has changed
    with pytest.raises(book.BookError, match="no_such_work"):
        (project / "book" / "limitations.md").write_text("# Limitations\n\n{cite}`no_such_work`\n")
        book.build("demo")
    with pytest.raises(book.BookError, match="no_such_work"):
        book.build("demo")  # a failed build must not pass the second time


def test_the_chapter_on_the_library_has_the_storeys_of_the_import_contract():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    *storeys, results, lowest = [set(layer.split(" : ")) for layer in contract["layers"]]
    parts = (ROOT / "book/architecture.md").read_text().split("\n## ")[1:]
    assert [set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) for part in parts] == [*storeys, results | lowest]


def test_front_page_and_table_print_the_same_interval_of_a_difference_and_say_what_it_conditions_on(results):
    front, page = chapter("answer"), chapter("results", "Which differences between sources are known?")
    assert "+0.050 (−0.800 to +0.900) above the next" in front
    assert "+0.050 (−0.800 to +0.900) | 0.400 (0.800) | open | −0.020 to +0.120 |" in page
    assert "describe these trained networks, as there is one seed" in front
    assert "On ISIC 2018, a fold has fewer than ten groups" in front
    assert chapter("results").index("Which differences") < chapter("results").index("How high is each AUC")


def test_the_ranking_says_which_test_was_used_on_how_many_targets_and_which_pairs_differ(results):
    text = chapter("results", "One ranking over all targets?")
    assert "3 sources on 2 targets: Skillings and Mack's test" in text
    assert "1 of 2 pairs of sources differ significantly" in text
    assert "Describable Textures (DTD) before STL-10.\n" in text
    assert "| ImageNet | 2.0 | 1 |" in text
    assert "no rank on its own dataset" in text


def test_sources_without_common_targets_are_named_and_not_ranked(results):
    path = paths.tables_dir("sample") / "ranks.csv"
    ranks = pd.read_csv(path).assign(part=[1, 2, 2], mean_rank=float("nan"), statistic=float("nan"), p=float("nan"))
    ranks.to_csv(path, index=False)
    text = chapter("results", "One ranking over all targets?")
    assert "There is no ranking of the sources by fine-tuning: they fall into 2 parts that share no target" in text
    assert "(Describable Textures (DTD); ImageNet, STL-10)" in text
    assert "*p* =" not in text and "mean rank |" not in text
