"""3,000 damaged files of every kind are read or reported, and nothing else happens."""

import warnings

import numpy as np
import pytest
from kinds import every_kind

from catscans_lib.images import decode

N_FILES = 3000


def damage(data, rng):
    """Change, cut, repeat, remove or clear some of the bytes; more often near the beginning, where headers lie."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        at = int(len(data) * rng.random() ** rng.integers(1, 6))
        length = int(rng.integers(1, 12))
        how = rng.integers(6)
        if how < 2:
            data[at : at + length] = rng.bytes(length)
        elif how == 2:
            data[at : at + length] = bytes(length) if rng.random() < 0.5 else b"\xff" * length
        elif how == 3:
            data[at:at] = data[at : at + length]
        elif how == 4:
            del data[at : at + length]
        else:
            del data[max(at, 1) if rng.random() < 0.2 else len(data) :]
    return bytes(data)


@pytest.mark.slow
def test_damaged_files_of_every_kind_are_read_or_reported(tmp_path, capfd):
    kinds, rng = every_kind(), np.random.default_rng(0)
    counts = {name: [0, 0] for name in kinds}
    file = tmp_path / "file"
    for k in range(N_FILES):
        name = list(kinds)[k % len(kinds)]
        file.write_bytes(damage(kinds[name], rng))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = decode.decode(file, 24, ("squash", "crop", "pad")[k % 3])
        assert (got.pixels is None) == bool(got.problem), name
        if got.pixels is None:
            assert got.problem.startswith("could not be read: ") and got.problem.isprintable(), (name, got.problem)
        else:
            assert got.pixels.shape[:2] == (24, 24) and not np.isnan(got.pixels).all(), name
            assert got.mode.isprintable()
            assert (got.pixels.dtype == np.uint8) == (not got.extremes), name
        counts[name][got.pixels is None] += 1
    n_read = sum(n for n, _ in counts.values())
    assert 300 < n_read < N_FILES - 300  # neither all nor none: the damage matters, and most bytes are pixels
    with capfd.disabled():
        print(f"\n{N_FILES} damaged files of {len(kinds)} kinds: {n_read} read, {N_FILES - n_read} reported")
