"""Embeddings of datasets: which images they are made of, that they repeat, and that distances stand beside their noise."""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest

from catscans_lib import fisher, models, store, task2vec
from catscans_lib.datasets import demo
from catscans_lib.errors import InputError
from catscans_lib.similarity import task2vec as measures
from catscans_lib.task2vec import Probe, Subset

N = 60


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Three demo datasets of 300 images of 32 px."""
    folder = tmp_path_factory.mktemp("stores")

    def made(name):
        images, table, classes = demo.make(name, n_images=300, size_px=32)
        store.write_arrays(folder / f"{name}.h5", images, table, classes, dataset=name, size_px=32)
        return store.open_store(folder / f"{name}.h5")

    return {name: made(name) for name in ("pcam_middle", "dtd", "isic2018")}


@pytest.fixture(scope="module")
def probe():
    keras.utils.set_random_seed(0)
    return Probe("small_resnet", models.backbone("small_resnet", 32))


@pytest.fixture(scope="module")
def embeddings(stores, probe):
    return task2vec.embed_all(stores.values(), probe, N, [0, 1])


@pytest.fixture(scope="module")
def table(embeddings):
    return task2vec.distances(embeddings, probe="small_resnet", n_images=N)


def listing(labels, groups):
    return pd.DataFrame({"label": labels, "group": groups})


def test_halves_share_no_group_and_repeat_with_their_seed(stores):
    images = stores["pcam_middle"].table
    one, other = (task2vec.draw(images, 100, 3, half) for half in (0, 1))
    assert len(set(one)) == len(set(other)) == 100
    assert not set(images["group"].iloc[one]) & set(images["group"].iloc[other])
    np.testing.assert_array_equal(one, task2vec.draw(images, 100, 3, 0))
    assert not np.array_equal(one, task2vec.draw(images, 100, 4, 0))


def test_classes_keep_their_shares_of_the_half_give_or_take_one():
    labels = np.repeat(["a", "b", "c"], [700, 250, 50])
    images = listing(labels, np.arange(1000))
    half = task2vec.draw(images, 500, 0, 0)
    drawn = task2vec.draw(images, 40, 0, 0)
    shares = pd.Series(labels[half]).value_counts() / 500
    assert set(drawn) <= set(half)
    assert (abs(pd.Series(labels[drawn]).value_counts() - 40 * shares) <= 1).all()


def test_a_half_that_is_too_small_says_how_many_images_it_holds():
    with pytest.raises(InputError, match=r"Half 0 of these 10 images in 10 groups holds 5; got n_images=6. Lower"):
        task2vec.draw(listing(["a", "b"] * 5, range(10)), 6, 0, 0)


def test_an_embedding_is_not_negative_repeats_bit_for_bit_and_has_a_number_per_filter(stores, probe, embeddings):
    again = task2vec.embed(stores["dtd"], probe, N, 0)
    assert again.tobytes() == embeddings["dtd", 0, 0].tobytes()
    assert again.shape == (672,) and again.dtype == np.float64
    assert all((embedding >= 0).all() and embedding.any() for embedding in embeddings.values())
    assert not np.array_equal(again, embeddings["dtd", 1, 0])


def test_an_embedding_of_the_head_has_a_number_per_feature(stores, probe):
    found = task2vec.embed(stores["dtd"], probe, N, 0, kind="head")
    assert found.shape == (64,) and (found >= 0).all() and found.any()
    with pytest.raises(InputError, match="Unknown kind of embedding 'tail'; known: filters, head"):
        task2vec.embed(stores["dtd"], probe, N, 0, kind="tail")


def test_a_balanced_embedding_does_not_change_when_the_images_of_a_class_are_there_twice(stores, probe, monkeypatch):
    rows = np.arange(60)
    classes = stores["pcam_middle"].table["label"].to_numpy()
    twice = np.sort(np.r_[rows, rows[classes[:60] == stores["pcam_middle"].classes[0]]])
    drawn = iter([rows, twice])
    monkeypatch.setattr(task2vec, "draw", lambda *_: next(drawn))
    monkeypatch.setattr(fisher, "fit_head", lambda x, *_, **__: fisher.Head(np.ones((64, 2)) * [0, 0.1], np.zeros(2)))
    one, other = (task2vec.embed(stores["pcam_middle"], probe, 0, 0, kind="head") for _ in range(2))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_dataset_is_closer_to_its_other_half_than_to_a_different_dataset(table):
    means = table[table["measure"] == "task2vec_symmetric_cosine"].groupby(["source", "target"])["value"].mean()
    for name, other in (("pcam_middle", "dtd"), ("dtd", "isic2018"), ("isic2018", "pcam_middle")):
        assert 0.01 < means[name, name] < min(means[name, other], means[other, name])


def test_distances_are_tidy_and_no_dataset_is_at_0_from_itself(table, embeddings):
    assert list(table.columns) == [
        "source", "target", "measure", "value", "larger_is_closer", "probe", "n_images", "seed",
    ]  # fmt: skip
    assert len(table) == 3 * 3 * 2 * len(measures.MEASURES)
    assert set(table["probe"]) == {"small_resnet"} and set(table["n_images"]) == {N}
    values = table.set_index(["source", "target", "measure", "seed"])["value"]
    expected = measures.cosine(embeddings["dtd", 1, 0], embeddings["isic2018", 1, 1])
    assert values["dtd", "isic2018", "task2vec_cosine", 1] == pytest.approx(expected)
    assert (table.loc[table["source"] == table["target"], "value"] > 0).all()


def test_the_noise_floor_of_a_distance_is_the_larger_of_its_datasets_own(table):
    beside = task2vec.beside_noise_floor(table).set_index(["source", "target", "measure", "seed"])
    own = [
        np.mean([beside.loc[(name, name, "task2vec_kl", seed), "value"] for seed in (0, 1)])
        for name in ("dtd", "isic2018")
    ]
    assert beside.loc[("dtd", "isic2018", "task2vec_kl", 0), "noise_floor"] == pytest.approx(max(own))
    assert beside.loc[("dtd", "dtd", "task2vec_kl", 1), "noise_floor"] == pytest.approx(own[0])


def test_the_noise_of_every_dataset_is_the_mean_over_seeds(table):
    floor = task2vec.noise_floor(table).set_index(["dataset", "measure"])
    own = table[(table["source"] == "dtd") & (table["target"] == "dtd") & (table["measure"] == "task2vec_kl")]
    assert floor.loc[("dtd", "task2vec_kl"), "value"] == pytest.approx(own["value"].mean())
    assert set(floor["n_seeds"]) == {2}


def test_fewer_images_put_datasets_further_from_themselves(stores, probe, table):
    few = task2vec.embed_all([stores["dtd"], stores["isic2018"]], probe, 15, [0, 1])
    further = task2vec.noise_floor(task2vec.distances(few, probe="small_resnet", n_images=15))
    both = further.merge(task2vec.noise_floor(table), on=["dataset", "measure"], suffixes=["_few", "_many"])
    means = both.groupby("measure")[["value_few", "value_many"]].mean()
    for measure in ("task2vec_symmetric_cosine", "task2vec_log_euclid"):
        assert means.loc[measure, "value_few"] > 1.2 * means.loc[measure, "value_many"]


def test_a_dataset_with_one_half_is_refused():
    with pytest.raises(InputError, match="No half 1 of 'dtd' under seed 5"):
        task2vec.distances({Subset("dtd", 5, 0): np.ones(3)}, probe="", n_images=1)


def test_saved_embeddings_are_plain_arrays_and_come_back(embeddings, tmp_path):
    task2vec.save(tmp_path / "embeddings.npz", embeddings)
    with np.load(tmp_path / "embeddings.npz", allow_pickle=False) as file:
        assert sorted(file) == ["datasets", "halves", "seeds", "values"]
        assert file["values"].shape == (12, 672) and file["values"].dtype == np.float64
    found = task2vec.load(tmp_path / "embeddings.npz")
    assert list(found) == list(embeddings)
    assert all(found[key].tobytes() == embeddings[key].tobytes() for key in embeddings)


def test_an_embedding_is_kept_until_weights_images_or_settings_change(stores, probe, tmp_path, monkeypatch):
    def made(images=stores["dtd"], by=probe, **how):
        return task2vec.embed(images, by, 20, 0, folder=tmp_path, **({"kind": "head"} | how))

    first = made()
    kept = set(tmp_path.glob("dtd_*.npz"))
    assert len(kept) == 1
    keras.utils.set_random_seed(1)
    others = [
        made(half=1), made(c=0.1), made(balanced=False), made(by=Probe("x", models.backbone("small_resnet", 32))),
        made(replace(stores["dtd"], fingerprint="other", images=stores["dtd"].images[::-1])),
    ]  # fmt: skip
    assert len(set(tmp_path.glob("dtd_*.npz"))) == 6
    assert not any(np.array_equal(first, other) for other in others)
    monkeypatch.setattr(fisher, "fit_head", lambda *_, **__: pytest.fail("computed again"))
    assert made().tobytes() == first.tobytes()
