import numpy as np
import pandas as pd
import pytest

from catscans_lib.recommend import known


@pytest.fixture(scope="module")
def shipped():
    return known.evidence()


def test_the_shipped_evidence_is_real_and_holds_imagenet_and_scores_of_every_target(shipped):
    assert set(shipped["study"]) == {"own_sample", "medmnist"}
    assert set(shipped["family"]) <= set(known.FAMILIES) - {"unknown"}
    assert not shipped.duplicated(["study", "target", "source"]).any()
    by_target = shipped.groupby(["study", "target"])
    assert by_target["family"].agg(lambda kinds: "imagenet" in set(kinds)).all()
    assert len(by_target) >= 21
    assert shipped.query("study == 'own_sample' and source != 'none'")["linear_probe_auc"].notna().all()
    assert shipped.query("source == 'none'")["logme"].isna().all() and (shipped["source"] == "none").sum() >= 8


def test_kinds_of_sources(shipped):
    kinds = shipped.drop_duplicates("source").set_index("source")["family"]
    assert kinds[["radimagenet", "medmnist", "breastmnist", "dtd", "natural", "none"]].tolist() == [
        "medical_large", "medical_large", "medical", "texture", "natural", "none"
    ]  # fmt: skip
    assert known.family("my_network") == "unknown"
    assert known.family("photos", 14e6, "natural") == "imagenet"
    assert known.family("imagenet1k") == known.family("imagenet") == "imagenet"


def test_a_source_with_images_of_the_target_is_no_evidence(shipped):
    organs = shipped[shipped["target"] == "organamnist"]
    assert not set(organs["source"]) & {"organamnist", "organcmnist", "organsmnist", "medmnist"}


def test_the_error_of_an_auc_leaves_out_what_all_sources_share():
    shared = np.array([0.1, -0.1, 0.0])  # of the folds: it moves all sources alike
    apart = np.array([0.02, -0.01, -0.01])
    rows = [("t", "a", fold, 0.8 + shared[fold] + apart[fold]) for fold in range(3)]
    rows += [("t", "b", fold, 0.7 + shared[fold] - apart[fold]) for fold in range(3)]
    table = known._with_errors(pd.DataFrame(rows, columns=["target", "source", "fold", "auc"])).set_index("source")
    variance = 2 * (apart**2).sum() / ((3 - 1) * (2 - 1))
    expected = np.sqrt(variance * (1 / 3 + 1 / 2)) / (0.8 * 0.2)
    assert table.loc["a", "se"] == pytest.approx(expected)
    assert table["auc"].to_dict() == pytest.approx({"a": 0.8, "b": 0.7})


def test_without_repetitions_the_error_is_not_known(shipped):
    assert shipped.query("study == 'medmnist'")["se"].isna().all()
    own = shipped.query("study == 'own_sample'")
    assert own.groupby("target")["se"].count().gt(1).sum() >= 8
    assert own["se"].dropna().between(0.01, 1).all()
