"""A project whose runs over sizes, pretraining seeds and networks look finished; nothing is trained, all numbers are random."""

import json
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from catscans_lib import paths, results
from catscans_lib.runs import in_notebook

ROOT = Path(__file__).resolve().parents[1]
TARGETS, SOURCES = ("chest", "malaria"), {"none": 0.0, "imagenet": 1.2, "dtd": 0.7, "natural": 0.4}
CLASSES = {"chest": ("NORMAL", "PNEUMONIA"), "malaria": ("Parasitized", "Uninfected")}
FOLDS, SEEDS, N, FULL = (1, 2, 3), (0, 1), 40, 80
FAILED = "none+resnet50--malaria"  # did not learn
SIZES, PRETRAINED, BACKBONE = (10, 40), (1, 2), "resnet50"  # of variants


@contextmanager
def in_project(folder):
    """Make the folder a project whose profile sample has the runs of all axes; the library works there in the meantime."""
    for name in ("book", "notebooks", "params"):
        (folder / name).symlink_to(ROOT / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(folder))
        make("sample")
        yield


def make(profile):
    """Publish pretrainings, base transfers and all variants of a profile."""
    for source, quality in SOURCES.items():
        for variant, seed in (("", 0), *((f"@{seed}", seed) for seed in PRETRAINED), (f"+{BACKBONE}", 0)):
            if source == "none" or (source == "imagenet" and "@" in variant):
                continue
            _finish(profile, f"pretrain/{source}{variant}", {}, seed=seed)
        for target in TARGETS:
            _transfer(profile, f"{source}--{target}", quality, FULL)
            for n in SIZES:
                _transfer(profile, f"{source}--{target}@{n}", quality * 1.2, n)
            _transfer(profile, f"{source}+{BACKBONE}--{target}", quality * 1.1, FULL, backbone=BACKBONE)
            for seed in PRETRAINED if source in ("dtd", "natural") else ():
                _transfer(profile, f"{source}@{seed}--{target}", quality + 0.2 * seed, FULL)


def _transfer(profile, name, quality, n_train, backbone="squeezenet"):
    target = name.split("--")[1].split("@")[0]
    labels, parts, rng = np.tile([0, 1], N // 2), [], np.random.default_rng(len(name) + n_train)
    for fold in FOLDS:
        images = np.random.default_rng(fold).normal(size=N)
        for seed in SEEDS:
            score = 1 / (1 + np.exp(-labels * (0.3 * np.log10(n_train) + quality) - images - rng.normal(size=N)))
            names = [f"{target}_{fold}_{number}" for number in range(N)]
            part = {"image_id": names, "group": names, "fold": fold, "seed": seed, "mode": "fine_tune"}
            first, second = CLASSES[target]
            part |= {"label": np.array(CLASSES[target])[labels], f"score_{first}": 1 - score, f"score_{second}": score}
            parts.append(pd.DataFrame(part))
    keys = pd.concat(parts)[["fold", "seed", "mode"]].drop_duplicates()
    loss = 0.693 if name == FAILED else 0.3
    curves = pd.concat([keys.assign(epoch=1, split=of, metric="loss", value=loss) for of in ("train", "validation")])
    tables = {
        "predictions": pd.concat(parts),
        "learning_rates": keys.assign(learning_rate=0.01, validation_loss=loss, chosen=True),
    }
    tables["history"] = curves.assign(learning_rate=0.01)
    how = {"backbone": backbone, "class_weights": "balanced", "patience": None}
    _finish(profile, f"transfer/{name}", tables, n_train=n_train, **how)


def _finish(profile, key, tables, *, n_train=None, **parameters):
    folder = paths.results_dir(profile) / key
    folder.mkdir(parents=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    record = {"run_id": key, "status": "completed", "parameters": parameters, "n_train": n_train, "seconds": 1.0}
    (folder / "run.json").write_text(json.dumps(record | {"code": {"commit": "0123456789abcdef"}, "versions": {}}))


def ran(step, profile, settings):
    """Run a notebook's cells in this process, with these settings and without the runs that it needs; publish the run."""
    with pytest.MonkeyPatch.context() as patch:
        work = results.new_work_dir(profile, step, "all")
        patch.setattr(in_notebook, "start", lambda *_, **__: started(step, profile, settings, work))
        names = {"profile": profile} | settings.model_dump()
        for cell in nbformat.read(ROOT / f"notebooks/{step}.ipynb", 4).cells:
            if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
                exec(cell.source, names)
        results.publish(profile, step, "all")
    return names


def started(step, profile, settings, work):
    """Return a run in progress without an origin."""
    from catscans_lib import figures
    from catscans_lib.runs.recipe import Origin

    figures.set_style()
    run = in_notebook.Run(step, "all", profile, profile, settings, work, Origin("", {}, {}, {}, {}))
    run.finish = lambda **facts: (work / "run.json").write_text(
        json.dumps({"status": "completed", "seconds": 1.0, **facts})
    )
    return run
