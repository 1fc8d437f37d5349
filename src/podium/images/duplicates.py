"""Near-identical pictures, which must not be on both sides of a split.

Three sieves, each finer and dearer than the one before: the DCT hash of Zauner (2010),
"Implementation and Benchmarking of Perceptual Image Hash Functions", section 3.2.1; correlation
of blurred details; and correlation of fine details after the two pictures have been laid over each
other (Evangelidis and Psarakis, 2008, "Parametric Image Alignment Using Enhanced Correlation
Coefficient Maximization"). Without the last, cars photographed in one studio pass for copies.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from podium.images.reading import resize

THUMBNAIL_SIDE = 64  # pixels
COARSE_SIDE = 32  # pixels, for the hash and the second sieve

# Set by looking at what is flagged in five data sets, and by planted copies; docs/design.md.
MAX_DISTANCE = 14  # bits that differ between two hashes
MIN_COARSE_CORRELATION = 0.6
MIN_FINE_CORRELATION = 0.9
MIN_OVERLAP = 0.7  # share of the picture that the other one covers when aligned

HASH_BLOCK = 1024  # pictures compared with all others at once: 100 MB for 25,000 pictures
PAIR_BLOCK = 65_536  # pairs compared at once: 540 MB
ALIGNMENT = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)  # steps, precision


class Fingerprint(NamedTuple):
    """What is kept of a picture to find its near-copies."""

    hash: int  # 64 bits
    mirrored_hash: int  # that of the picture seen in a mirror
    thumbnail: np.ndarray  # uint8 (THUMBNAIL_SIDE, THUMBNAIL_SIDE), grey


def fingerprint(picture: np.ndarray) -> Fingerprint:
    """Hashes and thumbnail of uint8 (height, width, 3), stretched to a square."""
    small = resize(picture, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    thumbnail = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    frequencies = cv2.dct(_coarse(thumbnail))[:8, :8]
    # A mirrored picture has its odd horizontal frequencies with the other sign.
    mirrored = frequencies * np.where(np.arange(8) % 2, -1, 1)
    return Fingerprint(_hash(frequencies), _hash(mirrored), thumbnail)


def near_duplicate_groups(fingerprints: pd.DataFrame) -> np.ndarray:
    """Number the groups of near-identical pictures: copies, mirrored, resized, slightly cropped.

    A copy of a copy is in the same group, though it may not resemble the first any more.

    Args:
        fingerprints: as `check_pictures` returns them: columns hash, mirrored_hash, thumbnail.
            An unreadable picture, whose thumbnail is None, is a group of its own.

    Returns:
        int64 (pictures,), 0 for the group of the first row and so on; most pictures are alone.
    """
    thumbnails = fingerprints["thumbnail"].tolist()
    # Exact copies are settled here: thousands of them would make millions of pairs below.
    keys = [number if one is None else one.tobytes() for number, one in enumerate(thumbnails)]
    kinds, names = pd.factorize(pd.Series(keys, dtype=object))
    firsts = np.flatnonzero(~pd.Series(kinds).duplicated())
    readable = np.array([thumbnails[row] is not None for row in firsts], dtype=bool)
    rows = firsts[readable]
    pairs = np.zeros((0, 2), dtype=np.int64)
    if len(rows):
        pairs = kinds[rows][_near_pairs(fingerprints.iloc[rows])]
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(names), len(names)))
    groups = connected_components(graph, directed=False)[1]
    return pd.factorize(groups[kinds])[0].astype(np.int64)


def near_copies(
    cache: Sequence[np.ndarray], candidates: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Which of the candidates are near-copies of one of the others, or of a copy of one.

    Args:
        cache: uint8 (height, width, 3) each.
        candidates, others: int (n,), positions in the cache.

    Returns:
        bool (candidates,).
    """
    positions = np.concatenate([candidates, others])
    with ThreadPoolExecutor() as pool:
        prints = pool.map(lambda position: fingerprint(cache[int(position)]), positions)
        rows = list(tqdm(prints, "looking for copies", len(positions), delay=2, leave=False))
    table = pd.DataFrame(rows, columns=Fingerprint._fields)
    groups = near_duplicate_groups(table.astype({"hash": "uint64", "mirrored_hash": "uint64"}))
    return np.isin(groups[: len(candidates)], groups[len(candidates) :])


def _near_pairs(fingerprints: pd.DataFrame) -> np.ndarray:
    """Rows of near-identical pictures as int (pairs, 2), mirrored ones included."""
    thumbnails = np.stack(fingerprints["thumbnail"].tolist())  # (pictures, side, side)
    bits = _signs(fingerprints["hash"])
    coarse = _coarse_details(thumbnails)
    found = []
    for mirrored in (False, True):
        other_bits = _signs(fingerprints["mirrored_hash"]) if mirrored else bits
        other_thumbnails = thumbnails[:, :, ::-1] if mirrored else thumbnails
        other_coarse = _coarse_details(other_thumbnails) if mirrored else coarse
        likely = [
            pairs[_correlations(coarse, other_coarse, pairs) >= MIN_COARSE_CORRELATION]
            for pairs in _close_hashes(bits, other_bits)
        ]
        pairs = np.concatenate([np.zeros((0, 2), dtype=np.int64), *likely])
        found.append(pairs[_same_when_aligned(thumbnails, other_thumbnails, pairs)])
    return np.concatenate(found)


def _close_hashes(bits: np.ndarray, other_bits: np.ndarray) -> Iterator[np.ndarray]:
    """Yield pairs i < j as int (≤ PAIR_BLOCK, 2) whose hashes differ in MAX_DISTANCE bits or less.

    All pairs are compared: at 14 bits of 64 an index of bit bands has to visit nearly all as
    well, and as a matrix product 25,000 pictures take seconds.
    """
    least = bits.shape[1] - 2 * MAX_DISTANCE  # the product of two rows of ±1
    for start in range(0, len(bits), HASH_BLOCK):
        products = bits[start : start + HASH_BLOCK] @ other_bits[start:].T
        pairs = np.argwhere(np.triu(products >= least, k=1)) + start
        for first in range(0, len(pairs), PAIR_BLOCK):
            yield pairs[first : first + PAIR_BLOCK]


def _same_when_aligned(thumbnails: np.ndarray, others: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """For each of the pairs, whether its fine details agree: bool (pairs,)."""

    def same(pair: np.ndarray) -> bool:
        left, right = thumbnails[pair[0]], np.ascontiguousarray(others[pair[1]])
        return _aligned_correlation(left, right) >= MIN_FINE_CORRELATION

    with ThreadPoolExecutor() as pool:  # OpenCV releases the lock
        answers = pool.map(same, pairs, chunksize=64) if len(pairs) else []
        progress = tqdm(answers, "comparing near pictures", len(pairs), delay=2, leave=False)
        return np.fromiter(progress, dtype=bool, count=len(pairs))


def _aligned_correlation(left: np.ndarray, right: np.ndarray) -> float:
    """Correlation of the fine details of two thumbnails, once `right` lies over `left`."""
    warp = np.eye(2, 3, dtype=np.float32)
    try:
        _, warp = cv2.findTransformECC(left, right, warp, cv2.MOTION_AFFINE, ALIGNMENT, None, 5)
    except cv2.error:  # no overlap found; a copy that needs no alignment is still one
        warp = np.eye(2, 3, dtype=np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(right, warp, right.shape, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    covered = cv2.warpAffine(np.ones_like(right), warp, right.shape, flags=flags) > 0
    if covered.mean() < MIN_OVERLAP:
        return 0.0
    details = (_details(left)[covered], _details(moved)[covered])
    return float(np.dot(*(_unit_rows(values[np.newaxis])[0] for values in details)))


def _details(thumbnail: np.ndarray) -> np.ndarray:
    """What lies between noise and light: float32, same shape."""
    values = thumbnail.astype(np.float32)
    smooth = cv2.GaussianBlur(values, (0, 0), 0.8)
    return smooth - cv2.GaussianBlur(smooth, (0, 0), 2)


def _coarse_details(thumbnails: np.ndarray) -> np.ndarray:
    """Details of the thumbnails at COARSE_SIDE, float32 (pictures, COARSE_SIDE²), unit rows."""
    details = np.empty((len(thumbnails), COARSE_SIDE**2), dtype=np.float32)
    for row, thumbnail in enumerate(thumbnails):
        details[row] = _details(_coarse(thumbnail)).ravel()
    return _unit_rows(details)


def _coarse(thumbnail: np.ndarray) -> np.ndarray:
    return resize(thumbnail, COARSE_SIDE, COARSE_SIDE).astype(np.float32)


def _unit_rows(values: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and length 1, so that products are correlations; a flat row becomes 0."""
    values = values - values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    flat = lengths < 0.1 * np.sqrt(values.shape[1])  # grey levels: less is rounding
    return np.where(flat, 0, values / np.maximum(lengths, 1e-9))


def _correlations(left: np.ndarray, right: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", left[pairs[:, 0]], right[pairs[:, 1]])


def _hash(frequencies: np.ndarray) -> int:
    """64 bits: which frequencies (8, 8) are above their median, the mean light left out."""
    bits = frequencies.ravel() > np.median(frequencies.ravel()[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _signs(hashes: pd.Series) -> np.ndarray:
    """Bits of uint64 hashes as -1 and 1, float32 (pictures, 64)."""
    big_endian = hashes.to_numpy(dtype=">u8")
    bits = np.unpackbits(big_endian.view(np.uint8).reshape(len(hashes), 8), axis=1)
    return bits.astype(np.float32) * 2 - 1
