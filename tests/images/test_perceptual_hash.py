"""Close pairs are those of a comparison of all with all, and groups are what they link."""

import numpy as np
import pytest

from catscans_lib.images import duplicates


def with_neighbours(seed, n=60):
    """Random hashes, each once more with up to two bits flipped, and once more with one."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**63, n, dtype=np.uint64)
    flips = np.uint64(1) << rng.integers(0, 64, (n, 3), dtype=np.uint64)
    return rng.permutation(np.concatenate([hashes, hashes ^ flips[:, 0] ^ flips[:, 1], hashes ^ flips[:, 2]]))


def all_with_all(hashes, max_bits):
    n = len(hashes)
    close = [
        (i, k) for i in range(n) for k in range(i + 1, n) if (int(hashes[i]) ^ int(hashes[k])).bit_count() <= max_bits
    ]
    return np.array(close, int).reshape(-1, 2)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("max_bits", [1, 2, 3])
def test_close_pairs_are_those_of_a_comparison_of_all_with_all(seed, max_bits):
    hashes = np.unique(with_neighbours(seed))[::-1]
    assert (duplicates.close_pairs(hashes, max_bits) == all_with_all(hashes, max_bits)).all()
    assert len(all_with_all(hashes, max_bits)) >= 50


def test_rows_of_one_hash_are_paired_with_the_first_of_them_only():
    hashes = np.array([7, 1 << 40, 7, 6, 7], np.uint64)
    assert duplicates.close_pairs(hashes, 1).tolist() == [[0, 2], [0, 3], [0, 4]]
    assert duplicates.close_pairs(hashes, 0).tolist() == [[0, 2], [0, 4]]
    assert len(duplicates.close_pairs(np.zeros(5000, np.uint64))) == 4999


def test_groups_are_linked_through_each_other_and_named_by_their_first_row():
    far = 0xFFFF << 40
    hashes = np.array([far, 0b0, 0b111, 0b111111, far | 1 << 63, (1 << 30) - 1], np.uint64)
    assert duplicates.groups(hashes).tolist() == [0, 1, 1, 1, 0, 5]
    assert duplicates.groups(hashes[:0]).tolist() == []


def test_more_bits_than_the_search_can_promise_are_refused():
    with pytest.raises(ValueError, match="max_bits is 0 to 3, got 4"):
        duplicates.close_pairs(np.zeros(2, np.uint64), max_bits=4)
