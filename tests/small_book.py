"""A small project with the real chapters: one target, two sources and random weights, two folds, hand-made numbers."""

import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd

from catscans_lib import paths

ROOT = Path(__file__).parents[1]
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
PARAMS = """title: tiny
folds: {n_folds: 2, seed: 7}
primary: {mode: fine_tune, measure: logme, statistic: spearman, test: nadeau_bengio, margin: 0.01}
"""


def make(folder):
    """Write the chapters and two profiles of one small grid to a folder."""
    shutil.copytree(ROOT / "book", folder / "book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "params").mkdir()
    for profile, data in (("demo", "demo"), ("sample", "native")):
        (folder / "params" / f"{profile}.yaml").write_text(f"{PARAMS}data: {data}\n")


def loads_from_outside(page):
    """Return the addresses of scripts, styles, images, fonts and frames that a browser would fetch for a page."""
    tags = r"<(?:script|img|iframe|source|audio|video|embed)\b[^>]*\bsrc=|<link\b[^>]*\bhref=|<object\b[^>]*\bdata="
    return re.findall(rf"""(?:{tags}|@import |url\(|\bimport\()\s*["']?((?:https?:)?//[^"')> ]+)""", page)


def add_run(profile, step, name, *, cells=None, figures=(), **tables):
    folder = paths.run_dir(profile, step, name)
    (folder / "figures").mkdir(parents=True)
    parameters = nbformat.v4.new_code_cell("source = 'imagenet'", metadata={"tags": ["parameters"]})
    injected = nbformat.v4.new_code_cell("source = 'dtd'", metadata={"tags": ["injected-parameters"]})
    cells = cells or [nbformat.v4.new_markdown_cell("# Own title"), parameters, injected]
    notebook = nbformat.v4.new_notebook(cells=cells)
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
    """Return further evaluation tables. The pair is stored as imagenet minus dtd; the book prints dtd minus imagenet."""
    cell = {"source": "dtd", "target": "isic2018", "mode": "fine_tune"}
    rest = {
        "fold_sd": 0.07,
        "n_folds": 2,
        "n_seeds": 1,
        "n_images": 4,
        "n_groups": 2,
        "few_groups": True,
        "n_draws": 2000,
    }
    intervals = [cell | rest | {"auc": 0.85, "low": 0.80, "high": 0.91, "method": "bootstrap over groups"}]
    pair = {"target": "isic2018", "mode": "fine_tune", "source_a": "imagenet", "source_b": "dtd", "difference": -0.05}
    second = {"role": "secondary", "verdict": ""}
    first = {"role": "primary", "p": 0.4, "p_adjusted": 0.8, "low": -0.9, "high": 0.8, "verdict": "open"}
    comparisons = [
        pair | {"test": "nadeau_bengio", "statistic": -1.1} | first,
        pair | {"test": "bootstrap", "p": 0.3, "p_adjusted": 0.6, "low": -0.12, "high": 0.02} | second,
    ]
    gain = {
        "gain": 0.11,
        "low": -0.03,
        "high": 0.25,
        "p": 0.07,
        "p_adjusted": 0.14,
        "verdict": "open",
        "transfer_score": 15.0,
    }
    ranks = {
        "mode": "fine_tune",
        "source": ["dtd", "imagenet", "stl10"],
        "mean_rank": [1.0, 2.0, 3.0],
        "n_targets": [2, 1, 2],
    }
    rank_pairs = {"mode": "fine_tune", "source_a": "dtd", "source_b": ["stl10", "imagenet"], "difference": [-2.0, -1.0]}
    return {
        "auc_intervals": intervals, "gains": [cell | gain],
        "comparisons": comparisons, "ranks": ranks | {"part": 1, "n_all_targets": 2, "statistic": 3.1, "p": 0.12},
        "rank_pairs": rank_pairs | {"n_shared": 1, "p_adjusted": [0.04, 0.2]},
        "completeness": {"source": ["dtd", "stl10"], "target": "isic2018", "done": [True, False]},
    }  # fmt: skip


def add_results(profile):
    summary = [{"class": "NV", "split": "", "n_images": 30}, {"class": "a|b", "split": "", "n_images": 10}]
    problems = [{"path": "isic/a|b.jpg", "problem": "cannot identify `image` file"}]
    duplicates = [{"sha256": "0", "paths": "a b"}]
    add_run(profile, "ingest", "isic2018", summary=summary, problems=problems, duplicates=duplicates)
    counts = [{"dataset": "dtd", "other": "isic2018", "n_identical": 1234, "n_alike": 5}]
    counts.append({"dataset": "isic2018", "other": "chest", "n_identical": 0, "n_alike": 0})
    add_run(profile, "overlaps", "all", counts=counts)
    for name in ("dtd", "imagenet", "none"):
        add_run(profile, "transfer", f"{name}--isic2018")
    figures = ("summary_fine_tune", "summary_linear_probe")
    add_run(profile, "evaluate", "all", figures=figures)
    add_run(profile, "stability", "all", figures=("learning_curves_isic2018",))
    add_run(profile, "feature_maps", "isic2018", figures=("feature_maps",))
    key = {"target": "isic2018", "seed": 0}
    rows = [
        {"source": source, **key, "mode": mode, "fold": fold, "average": "weighted", "auc": auc}
        for (source, mode), values in AUCS.items()
        for fold, auc in enumerate(values, start=1)
    ]
    dtd = {"source": "dtd", **key, "mode": "fine_tune"}
    scores = [dtd | {"fold": fold, "transfer_score": 10.0 * fold} for fold in (1, 2)]
    paths.tables_dir(profile).mkdir(parents=True)
    for name, table in {"aucs": rows, "transfer_scores": scores, **evaluated()}.items():
        pd.DataFrame(table).to_csv(paths.tables_dir(profile) / f"{name}.csv", index=False)
    paths.folds_path(profile, "isic2018").parent.mkdir()
    folds = {"image_id": ["1", "2", "3", "4"], "group": ["g", "g", "h", "h"], "label": ["NV", "DF", "NV", "DF"]}
    pd.DataFrame({**folds, "fold": [1, 1, 2, 2]}).to_csv(paths.folds_path(profile, "isic2018"), index=False)


def add_similarity(profile):
    """Add three measures of two sources, and one that the library no longer has."""
    columns = ["measure", "source", "value"]
    values = [("logme", "dtd", 0.3), ("logme", "imagenet", 0.2), ("parc", "dtd", 0.4)]
    values += [("parc", "imagenet", 0.6), ("mmd_rbf", "dtd", 0.1), ("gone", "dtd", 1.0)]
    table = pd.DataFrame(values, columns=columns).assign(target="isic2018", probe="imagenet", n_images=4, seed=0)
    table["larger_is_closer"] = table["measure"] != "mmd_rbf"
    table.to_csv(paths.tables_dir(profile) / "similarity.csv", index=False)
    titles = {"measure": ["logme", "parc", "mmd_rbf", "gone"], "title": ["LogME", "PARC", "Kernel distance", "Gone"]}
    noise = {
        "measure": titles["measure"],
        "target": "isic2018",
        "n_draws": 2,
        "noise": [0.25, 0.5, 1, 1],
        "distance": 0.4,
    }
    noise |= {"self_distance": [None, None, 0.01, None]}
    problem = {"measure": ["logme"], "source": "stl10", "target": "isic2018", "seed": 0, "problem": "no | convergence"}
    about = titles | {"closer": "larger", "blind to": "size"}
    tables = {"measures": about, "similarity": table, "noise": noise, "problems": problem}
    add_run(profile, "similarity", "isic2018", figures=("ranks",), **tables)
    statistics = {"spearman": 1.0, "regret": 0.0, "accuracy": 1.0}
    found = [
        {"mode": "fine_tune", "target": target, "measure": measure, "kind": kind, "statistic": name, "value": value}
        for target in ("isic2018", "all")
        for measure, kind in (("logme", "measure"), ("always_imagenet", "baseline"))
        for name, value in statistics.items()
    ]
    own = {"uses_labels": True, "low": -1.0, "high": 1.0, "n": 2, "p": 0.5, "p_max": 1.0}
    key, own_of_pair = (
        {"mode": "fine_tune", "measure": "logme"},
        {"value": 0.125, "low": -0.25, "high": 0.5, "verdict": "open"},
    )
    against = [key | {"rule": "always_imagenet", "statistic": name} | own_of_pair for name in ("spearman", "regret")]
    limits = {"mode": ["fine_tune"], "statistic": "spearman", "n_sources": 2, "n_targets": 1, "detectable_apart": 0.625}
    limits |= {"detectable_alike": 0.875, "reliability": 0.64, "ceiling": 0.8, "repeats": "folds", "n_repeats": 2}
    for name, table in {
        "associations": pd.DataFrame(found).assign(**own),
        "against_rules": against,
        "limits": limits,
    }.items():
        pd.DataFrame(table).to_csv(paths.tables_dir(profile) / f"{name}.csv", index=False)
