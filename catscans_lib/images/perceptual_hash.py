"""How alike images look: perceptual hashes, the pairs that are close, and the groups they form."""

import numpy as np

N_BITS = 64
MAX_BITS = 3  # of them may differ between images that look the same
BLOCK = 2048  # images at a time: memory does not grow with the dataset


def perceptual_hashes(images: np.ndarray) -> np.ndarray:
    """Hash of the coarse arrangement of grey, shape (n_images,), uint64: signs of the 64 lowest cosine waves round their median.

    It hardly changes with size, compression or brightness (Zauner 2010, "Implementation and benchmarking of perceptual
    image hash functions"; here on 32 x 32 block means).
    """
    from scipy.fft import dctn  # takes half a second, which every run would wait for

    hashes = np.empty(len(images), np.uint64)
    for start in range(0, len(images), BLOCK):
        waves = dctn(_coarse(images[start : start + BLOCK]), axes=(1, 2))[:, :8, :8].reshape(-1, N_BITS)
        bits = waves > np.median(waves[:, 1:], axis=1, keepdims=True)
        hashes[start : start + BLOCK] = np.packbits(bits, axis=1).view(">u8").ravel()
    return hashes


def blank(images: np.ndarray) -> np.ndarray:
    """Whether all pixels of an image are the same, shape (n_images,), bool: such images look alike and show nothing."""
    values = images.reshape(len(images), -1)
    return (values[:, 3:] == values[:, :-3]).all(axis=1)


def close_pairs(hashes: np.ndarray, max_bits: int = MAX_BITS) -> np.ndarray:
    """Return the pairs of rows whose hashes differ in at most `max_bits` bits, shape (n_pairs, 2), sorted, first < second.

    Of rows with one and the same hash only the first is compared with others, and the rest are paired with it: a thousand
    blank images are 999 pairs, not half a million.

    Raises
    ------
    ValueError
        If `max_bits` is not 0 to 3: with 4 no quarter of the bits need be equal, and pairs would be missed.
    """
    if not 0 <= max_bits < 4:
        raise ValueError(f"max_bits is 0 to 3, got {max_bits}.")
    _, first, same = np.unique(hashes, return_index=True, return_inverse=True)
    rows = np.arange(len(hashes))
    equal = np.stack([first[same], rows], axis=1)[first[same] != rows]
    distinct = np.sort(first)
    return np.unique(np.concatenate([equal, distinct[_close(hashes[distinct], max_bits)]]), axis=0)


def groups(hashes: np.ndarray, max_bits: int = MAX_BITS) -> np.ndarray:
    """Return for every row the first of those that it is linked with through close pairs, shape (n_images,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = close_pairs(hashes, max_bits)
    edges = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(hashes), len(hashes)))
    component = connected_components(edges, directed=False)[1]
    return np.unique(component, return_index=True)[1][component]


def _coarse(images: np.ndarray) -> np.ndarray:
    """Means of 32 x 32 blocks of the grey image, shape (n, 32, 32), float32; smaller images stay as they are."""
    n_blocks = min(32, images.shape[1])
    edges = np.arange(n_blocks) * images.shape[1] // n_blocks
    grey = images.mean(axis=3, dtype="float32")
    sums = np.add.reduceat(np.add.reduceat(grey, edges, axis=1), edges, axis=2)
    lengths = np.diff(np.append(edges, images.shape[1]))
    return sums / (lengths[:, None] * lengths[None, :])


def _close(hashes: np.ndarray, max_bits: int) -> np.ndarray:
    """Pairs of rows of different hashes, shape (n_pairs, 2), first < second.

    Close hashes agree in one of four quarters at least, so only such are compared: sorted by a quarter they are neighbours,
    and each is compared with the next, the one after it, and so on while the quarter is the same.
    """
    found = [np.empty((0, 2), int)]
    for quarter in range(4):
        keys = (hashes >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)
        order = np.argsort(keys, kind="stable")  # so that rows of one quarter stay in order
        keys = keys[order]
        at, step = np.arange(len(keys)), 0
        while len(at):
            step += 1
            at = at[at + step < len(keys)]
            at = at[keys[at] == keys[at + step]]
            pairs = np.stack([order[at], order[at + step]], axis=1)
            found.append(pairs[np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]) <= max_bits])
    return np.concatenate(found)
