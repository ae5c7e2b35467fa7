import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score

from catscans_lib.cli.main import main
from catscans_lib.errors import InputError
from catscans_lib.evaluation import prediction_files
from catscans_lib.statistics import delong


@pytest.fixture
def binary(tmp_path):
    """120 images of 40 patients, scores that go with the class; a second model that sees less."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    table = pd.DataFrame({"image_id": [f"i{n:03d}" for n in range(120)], "y_true": y, "group": np.arange(120) // 3})
    good, weak = table.assign(score=y + rng.normal(0, 1, 120)), table.assign(score=y + rng.normal(0, 3, 120))
    good.to_csv(tmp_path / "good.csv", index=False)
    weak.sample(frac=1, random_state=0).to_csv(tmp_path / "weak.csv", index=False)
    return tmp_path, good, weak


def ask(*words):
    answer = CliRunner().invoke(main, ["evaluate", *map(str, words)])
    return answer.exit_code, answer.output


def test_a_csv_gives_an_auc_and_intervals_without_a_sweep(binary):
    folder, good, _ = binary
    status, output = ask("--predictions", folder / "good.csv", "--json")
    found = json.loads(output)
    assert status == 0
    assert found["auc"] == pytest.approx(roc_auc_score(good["y_true"], good["score"]), abs=1e-12)
    assert (found["n_images"], found["n_groups"], found["classes"]) == (120, 40, {"0": 60, "1": 60})
    assert len(found["intervals"]) == 2
    for low, high in found["intervals"].values():
        assert low < found["auc"] < high
    assert found["metrics"] == {}  # scores that are no probabilities have no Brier score


def test_the_interval_s_method_is_named(binary):
    folder, good, _ = binary
    y, score, patients = good["y_true"].to_numpy() == 1, good["score"].to_numpy(), good["group"].to_numpy()
    auc, variance = delong.delong(y, score, patients)
    half = 1.959964 * np.sqrt(variance[0, 0])
    logit = json.loads(ask("--predictions", folder / "good.csv", "--json")[1])["intervals"]
    on_logit = np.log(auc[0] / (1 - auc[0])) + np.array([-1, 1]) * half / (auc[0] * (1 - auc[0]))
    assert logit["DeLong, over groups, logit interval"] == pytest.approx(1 / (1 + np.exp(-on_logit)), abs=1e-6)
    good.drop(columns="group").to_csv(folder / "no_groups.csv", index=False)
    assert "DeLong, images as independent, logit interval" in ask("--predictions", folder / "no_groups.csv")[1]


def test_the_output_says_what_an_interval_leaves_out(binary):
    folder, good, _ = binary
    output = ask("--predictions", folder / "good.csv")[1]
    assert "describe this one trained network" in output and "groups, intervals are too short" not in output
    good.assign(group=good["group"] % 7).to_csv(folder / "slides.csv", index=False)
    assert "With fewer than 10 groups, intervals are too short" in ask("--predictions", folder / "slides.csv")[1]


def test_two_files_are_matched_by_image_id_and_compared(binary):
    folder, good, weak = binary
    _, output = ask("--predictions", folder / "good.csv", "--against", folder / "weak.csv", "--json")
    against = json.loads(output)["against"]
    expected = roc_auc_score(good["y_true"], good["score"]) - roc_auc_score(weak["y_true"], weak["score"])
    assert against["difference"] == pytest.approx(expected, abs=1e-12)
    for low, high, p in against["tests"].values():
        assert low < expected < high
        assert p < 0.05


def test_predictions_do_not_differ_from_themselves_and_the_positive_class_can_be_chosen(binary):
    folder, good, _ = binary
    given = ("--predictions", folder / "good.csv", "--against", folder / "good.csv", "--positive", "0", "--json")
    found = json.loads(ask(*given)[1])
    assert found["auc"] == pytest.approx(1 - roc_auc_score(good["y_true"], good["score"]), abs=1e-12)
    assert found["against"]["difference"] == 0
    assert [p for *_, p in found["against"]["tests"].values()] == [1.0, 1.0]


def test_more_than_two_classes_have_a_column_each(tmp_path):
    rng = np.random.default_rng(1)
    y = rng.choice(list("abc"), 90)
    scores = rng.dirichlet(np.ones(3), 90)
    table = pd.DataFrame(scores, columns=["score_a", "score_b", "score_c"]).assign(label=y)
    table.to_csv(tmp_path / "three.csv", index=False)
    status, output = ask("--predictions", tmp_path / "three.csv", "--draws", 200, "--average", "macro")
    assert status == 0
    assert "three.csv: 90 images (a " in output
    assert "AUC (macro)" in output
    assert "bootstrap over images, 200 draws, seed 0" in output
    assert "balanced accuracy" in output


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"truth": ["0", "1"], "score": [0.1, 0.9]}, "no column y_true, label or y for the true class; it has: truth"),
        ({"y_true": ["0", "1"], "guess": [0.1, 0.9]}, "no column score, .* for scores"),
        ({"y_true": ["0", "1", "2"], "score": [0.1, 0.9, 0.5]}, "one column of scores but 3 classes"),
        ({"y_true": ["0", "1"], "score": ["0.1", "high"]}, "row 3, score: 'high' is not a finite number"),
        ({"y_true": ["nan", ""], "score": [0.1, 0.9]}, "has no rows with a true class"),
        ({"y_true": ["0", "1"], "score": [0.1, 0.9], "id": ["a", "a"]}, "'a' is predicted more than once"),
        ({"y_true": [], "score": []}, "has no rows"),
    ],
)
def test_an_unusable_file_raises_an_error_that_names_the_problem(tmp_path, columns, message):
    pd.DataFrame(columns).to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(InputError, match=f"mine.csv.*{message}"):
        prediction_files.read(tmp_path / "mine.csv")


def test_files_about_other_images_are_not_compared(tmp_path, binary):
    folder, good, _ = binary
    good.iloc[:100].to_csv(folder / "fewer.csv", index=False)
    good.assign(image_id=good["image_id"].str.replace("i000", "j000")).to_csv(folder / "renamed.csv", index=False)
    good.drop(columns="image_id").iloc[::-1].to_csv(folder / "turned.csv", index=False)
    for name, message in (
        ("fewer.csv", "has 120 images, fewer.csv has 100"),
        ("renamed.csv", "renamed.csv lacks 'i000'"),
        ("turned.csv", "turned.csv has no column image_id, the other file has one. Add it"),
    ):
        status, output = ask("--predictions", folder / "good.csv", "--against", folder / name)
        assert status == 2
        assert message in output


def evaluated(tmp_path, one, *words, other=None, status=0):
    """The JSON that the command prints about tables or texts of predictions; NaN in it would be an error."""
    paths = []
    for option, name, content in (("--predictions", "one.csv", one), ("--against", "other.csv", other)):
        if content is not None:
            (tmp_path / name).write_text(content if isinstance(content, str) else content.to_csv(index=False))
            paths += [option, tmp_path / name]
    code, output = ask(*paths, *words, "--draws", 100, "--json")
    assert code == status, output
    return output if status else json.loads(output, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))


def three_classes(n=60):
    rng = np.random.default_rng(2)
    y = np.tile(list("abc"), n // 3)
    logits = 2.0 * (y[:, None] == np.array(list("abc"))) + rng.normal(size=(n, 3))
    return y, logits, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_predictions_in_other_forms_are_read_as_if_in_the_usual_one(tmp_path):
    y, logits, p = three_classes()
    usual = pd.DataFrame(p, columns=["score_a", "score_b", "score_c"]).assign(y_true=y)
    expected = evaluated(tmp_path, usual)["auc"]
    forms = {
        "columns in another order": (usual[["score_c", "y_true", "score_a", "score_b"]], ""),
        "classes in another case": (usual.assign(y_true=[label.upper() for label in y]), ""),
        "logits": (
            pd.DataFrame(logits, columns=["score_a", "score_b", "score_c"]).assign(y_true=y),
            "softmax of each row",
        ),
        "percent": (
            usual.assign(**{name: 100 * usual[name] for name in usual if name != "y_true"}),
            "divided by its sum",
        ),
        "decimal commas": (usual.to_csv(index=False, sep=";", decimal=","), ""),
        "tabs, spaces": (usual.to_csv(index=False, sep="\t").replace("\t", "\t "), ""),
        "a row without a class": (usual.to_csv(index=False) + "0.1,0.2,0.7,\n", ""),
    }
    for form, (content, note) in forms.items():
        found = evaluated(tmp_path, content)
        assert found["auc"] == pytest.approx(expected, abs=1e-9), form
        assert note in " ".join(found["inventory"]["notes"]) and bool(note) == bool(found["inventory"]["notes"]), form
        assert found["inventory"]["n_read"] == 60
    assert found["inventory"]["left_out"] == [{"reason": "no true class", "n": 1, "example": "row 62"}]
    assert "--strict: 1 losses" in evaluated(tmp_path, content, "--strict", status=2)
    swapped = usual.rename(columns={"score_a": "score_b", "score_b": "score_a"})
    note = evaluated(tmp_path, swapped)["inventory"]["notes"][0]
    assert "below 0.5. Are its scores those of another class?" in note


def test_labels_written_as_numbers_match_the_columns(tmp_path):
    y = np.arange(40) % 2
    s = np.clip(0.3 * y + np.linspace(0.1, 0.6, 40), 0, 1)
    table = pd.DataFrame({"y_true": y.astype(float), "score_1": s, "score_0": 1 - s})
    found = evaluated(tmp_path, table)
    assert list(found["classes"]) == ["0", "1"] and found["auc"] == pytest.approx(roc_auc_score(y, s))
    against = evaluated(tmp_path, table, other=table.assign(y_true=y).rename(columns={"score_0": "score_0.0"}))[
        "against"
    ]
    assert against["difference"] == 0


def test_an_auc_below_one_half_asks_for_the_right_class(binary):
    folder, good, _ = binary
    good.assign(score=-good["score"]).to_csv(folder / "turned.csv", index=False)
    said = ask("--predictions", folder / "turned.csv")[1]
    assert "The AUC of '1' is 0." in said and "--positive" in said
    assert "--positive" not in ask("--predictions", folder / "turned.csv", "--positive", "0")[1]


@pytest.mark.parametrize(
    ("y", "scores", "groups"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], None),  # no image is ranked wrongly
        ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], None),
        ([0, 0, 0, 1], [0.1, 0.9, 0.3, 0.5], None),  # one image of a class
        ([0, 0, 1, 1], [0.1, 0.9, 0.3, 0.5], ["p", "q", "r", "r"]),  # one group of a class
        ([0, 0, 1, 1], [0.1, 0.9, 0.3, 0.5], ["p"] * 4),
    ],
)
def test_an_interval_that_cannot_be_had_is_said_to_be_missing(tmp_path, y, scores, groups):
    table = pd.DataFrame({"y_true": y, "score": scores} | ({"group": groups} if groups else {}))
    found = evaluated(tmp_path, table, other=table.assign(score=table["score"] ** 2))
    assert next(iter(found["intervals"].values())) == [None, None]
    assert next(iter(found["against"]["tests"].values()))[:2] == [None, None]
    said = ask("--predictions", tmp_path / "one.csv", "--draws", 100)[1]
    assert "not available: the estimated variance is zero" in said


@pytest.mark.parametrize("word", ["", "NA", "nan", "unknown", "Unknown"])
def test_images_without_a_group_are_groups_of_their_own(tmp_path, word):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"y_true": np.arange(60) % 2, "score": rng.random(60), "group": [f"p{n // 2}" for n in range(60)]}
    )
    table.loc[20:, "group"] = word
    found = evaluated(tmp_path, table)
    assert found["n_groups"] == 10 + 40
    assert found["inventory"]["notes"][0] == "40 images have no group: each of them is a group of its own."


def test_a_row_without_any_score_is_named_by_its_line_in_the_file_also_after_rows_that_were_left_out(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("y_true,score_a,score_b\n,0.5,0.5\na,3,1\nb,0,0\nb,1,3\n")
    with pytest.raises(InputError, match="row 4: all scores are 0"):
        prediction_files.read(path)


def test_predictions_of_several_findings_are_refused_with_the_columns_of_one(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text("image_id,label,score_edema,score_mass,true_edema,true_mass\na,edema|mass,.9,.8,1,1\n")
    with pytest.raises(InputError, match=r"several findings per image.*y_true \(true_edema\), score \(score_edema\)"):
        prediction_files.read(path)
