"""Our own results become evidence: finished targets only, one record, and the same statistics as for any other study."""

import importlib.util
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from evidence_runs import ROOT, ran_notebook, without_own
from scipy import stats
from sklearn.metrics import roc_auc_score

from catscans_lib import paths, results
from catscans_lib.book import axes, templates
from catscans_lib.errors import InputError
from catscans_lib.evidence import chapters, contrasts, prediction, studies
from catscans_lib.evidence.own import aucs, of_axis

SPEC = importlib.util.spec_from_file_location("own_evidence", ROOT / "benchmarks" / "own_evidence.py")
SPEC.loader.exec_module(own := importlib.util.module_from_spec(SPEC))

CLASSES = {
    "breast_ultrasound": ("benign", "malignant"),
    "malaria": ("Parasitized", "Uninfected"),
    "covid_ct": ("CT_COVID", "CT_NonCOVID"),
}
SOURCES = {"none": 0.0, "imagenet": 0.9, "dtd": 0.6, "natural": 0.5, "isic2018": 0.4, "chest": 0.2}
FOLDS, SEEDS, N = (1, 2, 3), (0, 1), 24
MODES = ("fine_tune", "linear_probe")
NAME = "own_sample"


def needed(targets=CLASSES):
    runs = {target: [f"transfer/{source}--{target}" for source in SOURCES] for target in targets}
    return {target: [*of, f"similarity/{target}"] for target, of in runs.items()}


def finish(key, tables):
    """Publish a run that looks finished, with its tables; nothing is trained. All numbers are random."""
    folder = paths.results_dir("sample") / key
    folder.mkdir(parents=True)
    for name, table in tables.items():
        pd.DataFrame(table).to_csv(folder / f"{name}.csv", index=False)
    parameters = {
        "backbone": "squeezenet",
        "size_px": 96,
        "weights": "file.h5",
        "class_weights": "balanced",
        "patience": None,
    }
    record = {"run_id": key, "status": "completed", "parameters": parameters, "code": {"commit": "0123456789abcdef"}}
    (folder / "run.json").write_text(json.dumps(record | {"versions": dict.fromkeys(own.PACKAGES, "1.0")}))


def finish_target(target, *, but=()):
    """Publish the runs of a target; better sources have higher scores."""
    rng, classes = np.random.default_rng(len(target)), CLASSES[target]
    labels = np.tile([0, 1], N // 2)
    for source, quality in SOURCES.items():
        predictions, history = [], []
        for fold, seed, mode in [(fold, seed, mode) for fold in FOLDS for seed in SEEDS for mode in MODES]:
            score = 1 / (1 + np.exp(-(2 * labels - 1) * quality * 1.5 - rng.normal(size=N)))
            ids = [f"{target}_{fold}_{number}" for number in range(N)]
            of = {"image_id": ids, "group": [name[:-1] for name in ids], "label": np.array(classes)[labels]}
            scores = {f"score_{classes[0]}": 1 - score, f"score_{classes[1]}": score}
            predictions.append(pd.DataFrame(of | {"fold": fold, "seed": seed, "mode": mode} | scores))
            history.append(
                {
                    "fold": fold,
                    "seed": seed,
                    "mode": mode,
                    "learning_rate": 0.1,
                    "epoch": 1,
                    "split": "train",
                    "metric": "loss",
                }
            )
        curves = pd.DataFrame(history).query("mode == 'fine_tune'")
        rates = curves[["fold", "seed", "mode", "learning_rate"]].assign(validation_loss=0.4, chosen=True)
        if source not in but:
            loss = 0.693 if (source, target) == ("none", "malaria") else 0.3
            finish(
                f"transfer/{source}--{target}",
                {"predictions": pd.concat(predictions), "history": curves.assign(value=loss), "learning_rates": rates},
            )
    rows = [
        (source, target, measure, sign * quality + rng.normal() / 10, sign > 0, "", 24, seed)
        for source, quality in SOURCES.items() if source != "none"
        for measure, sign in (("logme", 1), ("mmd_rbf", -1), ("gone", 1), *([("sfda", 1)] if target == "malaria" else []))
        for seed in SEEDS
    ]  # fmt: skip
    columns = ["source", "target", "measure", "value", "larger_is_closer", "probe", "n_images", "seed"]
    finish(f"similarity/{target}", {"similarity": pd.DataFrame(rows, columns=columns)})


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the published tables, two finished targets, and one without one of its runs."""
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    for name in ("book", "notebooks", "params"):
        (tmp_path / name).symlink_to(ROOT / name)
    without_own(tmp_path / "evidence")
    for source in [name for name in SOURCES if name != "none"]:
        finish(f"pretrain/{source}", {})
    finish_target("breast_ultrasound")
    finish_target("malaria")
    finish_target("covid_ct", but=["chest"])
    return tmp_path


def test_only_finished_targets_are_written_and_a_second_call_replaces_them(project):
    before = (project / "evidence/studies.yaml").read_text()
    assert own.write("sample", needed(), "fine_tune") == ["breast_ultrasound", "malaria"]
    first = studies.read(NAME)
    assert set(first["target"]) == {"breast_ultrasound", "malaria"} and len(first) == 2 * 6 * 2 * 3 * 2
    assert (project / "evidence/studies.yaml").read_text().startswith(before)
    finish(
        "transfer/chest--covid_ct",
        {
            name: results.table("sample", "transfer", "dtd--covid_ct", name)
            for name in ("predictions", "history", "learning_rates")
        },
    )
    assert own.write("sample", needed(), "fine_tune") == list(CLASSES)
    second, text = studies.read(NAME), (project / "evidence/studies.yaml").read_text()
    pd.testing.assert_frame_equal(
        second[second["target"] != "covid_ct"].reset_index(drop=True).dropna(axis=1),
        first.dropna(axis=1)[[c for c in first.dropna(axis=1)]],
    )
    assert text.startswith(before) and text.count(f"{NAME}:") == 1 and set(second["target"]) == set(CLASSES)
    described = studies.described()[NAME]
    assert (described.commit, described.versions["keras"], described.repository) == ("0123456789ab", "1.0", "")
    own.write("sample", needed(["malaria"]), "fine_tune")
    assert set(aucs()["target"]) == {"malaria"} and studies.described()[NAME].rows == 72


def test_a_record_in_the_middle_of_the_description_is_replaced_and_the_others_stay(project):
    path = project / "evidence/studies.yaml"
    before = yaml.safe_load(path.read_text())
    path.write_text(f"{NAME}:\n  title: old\n\n  rows: 3\n" + path.read_text())
    own.write("sample", needed(), "fine_tune")
    after = yaml.safe_load(path.read_text())
    assert after.pop(NAME)["rows"] == 144 and after == before


def test_the_table_has_the_aucs_of_the_predictions_the_kind_of_each_source_and_its_similarity_once(project):
    own.write("sample", needed(), "fine_tune")
    table = studies.read(NAME)
    row = table.query(
        "source == 'dtd' and target == 'malaria' and mode == 'linear_probe' and fold == 2 and seed == 1"
    ).iloc[0]
    of = results.table("sample", "transfer", "dtd--malaria", "predictions").query(
        "mode == 'linear_probe' and fold == 2 and seed == 1"
    )
    assert row["value"] == pytest.approx(roc_auc_score(of["label"] == "Uninfected", of["score_Uninfected"]), abs=1e-6)
    kinds = table.drop_duplicates("source").set_index("source")["source_kind"].to_dict()
    assert kinds == {
        "none": "none",
        "imagenet": "natural",
        "dtd": "natural",
        "natural": "natural",
        "isic2018": "medical",
        "chest": "medical",
    }
    assert set(table["modality"]) == {"ultrasound", "blood cells"} and set(table["n_train"]) == {48}
    assert not {"sfda", "gone"} & set(table)  # the one has no value on the other target, the other is no measure
    shown = table[table["logme"].notna()]
    assert len(shown) == 10 and set(shown["mode"]) == {"fine_tune"} and not shown.duplicated(["source", "target"]).any()
    values = results.table("sample", "similarity", "malaria", "similarity").query(
        "source == 'chest' and measure == 'mmd_rbf'"
    )
    assert shown.query("source == 'chest' and target == 'malaria'")["mmd_rbf"].item() == pytest.approx(
        values["value"].mean(), rel=1e-5
    )
    found = aucs().set_index(["source", "target", "mode"])
    assert found.loc[("none", "malaria", "fine_tune"), "n_failed"] == 6 and found["n_failed"].sum() == 6
    assert (found["low"] < found["auc"]).all() and (found["auc"] < found["high"]).all() and found["n_seeds"].eq(2).all()


def test_differences_are_those_of_means_over_seeds_with_an_interval_over_folds(project):
    own.write("sample", needed(), "fine_tune")
    table, study = studies.read(NAME), studies.described()[NAME]
    row = contrasts.contrasts(table, study).set_index("target").loc["malaria"]
    assert (row["natural"], row["medical"], row["n"]) == ("imagenet", "isic2018", 3)
    wide = table.query("mode == 'fine_tune' and target == 'malaria'").pivot_table("value", "fold", "source")
    difference = (wide["imagenet"] - wide["isic2018"]).to_numpy()
    reach = stats.t.ppf(0.975, 2) * difference.std(ddof=1) * np.sqrt(1 / 3 + 1 / 2)
    assert row[["difference", "low", "high"]].tolist() == pytest.approx(
        [difference.mean(), difference.mean() - reach, difference.mean() + reach]
    )


def test_scores_are_judged_against_the_rules_with_the_linear_probe_and_a_ceiling_over_seeds(project):
    own.write("sample", needed(), "fine_tune")
    (found,) = prediction.panels({NAME: studies.read(NAME)}, {NAME: studies.described()[NAME]})
    panel = found[1]
    assert {"always_imagenet", "largest_source", "most_classes", "linear_probe", "random"} <= set(
        panel.rules["measure"]
    )
    assert panel.scores.groupby("measure")["larger_is_closer"].first().to_dict() == {"logme": True, "mmd_rbf": False}
    assert panel.scores.groupby("measure")["uses_labels"].first().to_dict() == {"logme": True, "mmd_rbf": False}
    limits = prediction.judged(dict([found]), 100, 0)["limits"].iloc[0]
    assert limits["n_seeds"] == 2 and 0.5 < limits["seed_ceiling"] <= 1


def test_the_chapters_show_our_own_runs_beside_the_published_ones(project):
    own.write("sample", needed(), "fine_tune")
    ran_notebook()
    found = chapters.numbers("demo")
    assert found["studies"][NAME]["summary"]["n"] == 2 and NAME in found["predictions"]
    page = {
        name: templates.rendered(f"{name}.md", (), profile="demo", demo=True, evidence=found, **axes.numbers("demo"))
        for name in ("known", "across", "predict", "how_many", "_evidence")
    }
    malaria = next(line for line in page["known"].splitlines() if line.startswith("| Malaria cells ⚠ | 72 (9)"))
    assert "did not learn in 6 of 6 trainings" in malaria and malaria.count("–") >= 6
    assert (
        "one of them our own runs" in page["known"] and "- **Malaria cells.** Only infected patients" in page["known"]
    )
    assert "this project, commit 0123456789ab, keras 1.0" in page["known"]
    assert "| Our own runs | 2 of 2 |" in page["across"] and "## Our own runs" in page["predict"]
    assert (
        "among sources of a few\nhundred images" in page["known"]
        and "natural source is ahead on 2 of 2 targets ({numref}`tab-equal-own-sample`)" in page["known"]
        and "| Malaria cells | Describable Textures (DTD) | Chest X-rays | +" in page["known"]
    )
    assert "Our own runs do, on 2 small targets ({numref}`tab-own-sample-fine-tune`)" in page["_evidence"]


def test_without_a_finished_target_or_a_known_modality_nothing_is_written(project):
    shutil.rmtree(paths.results_dir("sample") / "transfer/chest--malaria")
    with pytest.raises(InputError, match="No target of 'sample' has all its transfers and similarities"):
        own.write("sample", needed(["malaria", "covid_ct"]), "fine_tune")
    assert not list((project / "evidence").glob("own_*")) and aucs().empty
    with pytest.raises(InputError, match="Unknown dataset 'cats'"):
        own.modality("cats")


def test_every_card_of_real_images_has_a_modality_that_studies_share():
    from catscans_lib import datasets

    found = {name: own.modality(name) for name in datasets.published()}
    assert (
        found["imagenet64"] == found["dtd"] == "photographs" and found["malaria"] == found["bloodcell"] == "blood cells"
    )
    assert found["covid_ct"] == "CT" and found["brain_mri"] == "MRI" and found["isic2017"] == "skin"


def test_generated_images_are_no_evidence_and_an_unknown_profile_is_named(project):
    with pytest.raises(InputError, match="The images of 'demo' are generated; only results of real images"):
        own.main("demo")
    with pytest.raises(InputError, match="Unknown profile 'sampel'"):
        own.main("sampel")


def test_what_is_written_and_what_is_not_finished_is_named(project, monkeypatch, capsys):
    monkeypatch.setattr(own, "write", lambda profile, needed, mode: ["malaria"])
    own.main("sample")
    assert capsys.readouterr().out.startswith("evidence/own_sample.csv: malaria; not finished: isic2018, chest,")


def test_tables_over_the_axes_of_a_grid_replace_those_of_an_earlier_call(project):
    folder = paths.tables_dir("sample")
    folder.mkdir(parents=True)
    gains = pd.DataFrame({"source": ["dtd"], "target": "chest", "mode": "fine_tune", "n_train": 20, "auc": 0.123456789})
    gains.to_csv(folder / "size_curves.csv", index=False)
    pd.DataFrame({"target": ["chest"], "component": "fold"}).to_csv(folder / "variance_components.csv", index=False)
    with pytest.raises(InputError, match="'sample' has no finished run of sizes, variance, backbones, external"):
        own.main("sample", "axes")
    finish("sizes/all", {})
    kept, gone = (project / f"evidence/more/own_{name}.csv" for name in ("backbones", "variance"))
    gone.write_text("target,study\nearlier,sample\n")
    kept.write_text("target,study\nearlier,sample_backbones\n")
    assert own.write_axes("sample") == ["own_sizes.csv"] and kept.is_file() and not gone.is_file()
    found = of_axis("size_curves")
    assert found.loc[0, ["auc", "study", "commit"]].tolist() == [0.123457, "sample", "0123456789ab"]
    assert of_axis("variance_components", ["sd"]).columns.tolist() == ["sd"]
    with pytest.raises(InputError, match="The images of 'demo' are generated"):
        own.main("demo", "axes")
