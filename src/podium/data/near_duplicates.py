"""Near-identical images, which must not be on both sides of a split.

Low frequencies name the pairs that may be copies, also slightly cropped or mirrored
ones. Of these, the fine details are compared after the two images have been laid over each other
(Evangelidis and Psarakis, 2008, "Parametric Image Alignment Using Enhanced Correlation Coefficient
Maximization"). Without the latter, cars photographed in one studio pass for copies.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from podium.files.image_io import resize

THUMBNAIL_SIDE = 64  # pixels

# Set by looking at what is flagged in five data sets, and by planted copies; docs/design.md.
TRIMS = (1, 3)  # pixels of the thumbnail off each side: a cropped copy is like one of these
MIN_COSINE = 0.92  # of the low frequencies
MIN_OVERLAP = 0.7  # share of the image that the other one covers when aligned
MIN_BLURRED_CORRELATION = 0.96
MIN_FINE_CORRELATION = 0.9

# A small image has no fine details left when it was resized or compressed: it may instead differ
# by so little when blurred. Larger ones may not: studio photographs do.
SMALL_SIDE = 48  # pixels
SMALL_FINE_CORRELATION = 0.92
MAX_DIFFERENCE = 7  # gray levels, root mean square

RADIUS = 6  # waves in an image: the highest frequency that is compared
IMAGE_BLOCK = 1024  # images compared with all others at once: 100 MB where there are 25,000
PAIR_BLOCK = 256  # pairs laid over each other at once
ALIGNMENT = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)  # steps, precision


class Fingerprint(NamedTuple):
    """What is kept of an image to find its near-copies."""

    thumbnail: np.ndarray  # uint8 (THUMBNAIL_SIDE, THUMBNAIL_SIDE), gray
    small: bool  # whether a side is below SMALL_SIDE


def fingerprint(image: np.ndarray) -> Fingerprint:
    """The fingerprint of uint8 (height, width, 3), stretched to a square."""
    small = resize(image, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    thumbnail = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return Fingerprint(thumbnail, min(image.shape[:2]) < SMALL_SIDE)


def near_duplicate_groups(fingerprints: pd.DataFrame) -> np.ndarray:
    """Number the groups of near-identical images: copies, mirrored, resized, slightly cropped.

    A copy of a copy is in the same group, though it may not resemble the first any more. The order
    of the rows does not matter.

    Args:
        fingerprints: as `check_images` returns them: columns thumbnail and small. An unreadable
            image, whose thumbnail is None, is a group of its own.

    Returns:
        int64 (images,), 0 for the group of the first row and so on; most images are alone.
    """
    readable = np.flatnonzero([one is not None for one in fingerprints["thumbnail"]])
    groups = np.arange(len(fingerprints))
    if len(readable):
        thumbnails = np.stack(fingerprints["thumbnail"].iloc[readable].tolist())
        small = fingerprints["small"].to_numpy(dtype=bool)[readable]
        groups[readable] = readable[_groups(thumbnails, small)]
    return pd.factorize(groups)[0].astype(np.int64)


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
    groups = near_duplicate_groups(pd.DataFrame(rows, columns=Fingerprint._fields))
    return np.isin(groups[: len(candidates)], groups[len(candidates) :])


def _groups(thumbnails: np.ndarray, small: np.ndarray) -> np.ndarray:
    """Group number of each thumbnail, int (images,), below the number of images."""
    # Exact copies need no comparison; of flat images these are the only ones that are found.
    groups = pd.factorize(pd.Series([one.tobytes() for one in thumbnails]))[0]
    with ThreadPoolExecutor() as pool:  # OpenCV releases the lock
        for others in (thumbnails, np.ascontiguousarray(thumbnails[:, :, ::-1])):

            def same(pair: np.ndarray, others: np.ndarray = others) -> bool:
                return _are_copies(thumbnails[pair[0]], others[pair[1]], small[pair].any())

            for pairs in _candidates(thumbnails, others):
                # Thousands of copies of one image need not all be compared with each other.
                pairs = pairs[groups[pairs[:, 0]] != groups[pairs[:, 1]]]
                for left, right in pairs[list(pool.map(same, pairs, chunksize=16))]:
                    groups[groups == groups[right]] = groups[left]
    return groups


def _candidates(thumbnails: np.ndarray, others: np.ndarray) -> Iterator[np.ndarray]:
    """Yield pairs i < j of like low frequencies as int (≤ PAIR_BLOCK, 2), each once, by i.

    All are compared with all: 25,000 images take seconds, fewer than to decode them.
    """
    whole = _low_frequencies(thumbnails, trim=0)
    trimmed = [_low_frequencies(others, trim) for trim in (0, *TRIMS)]
    starts = range(0, len(whole), IMAGE_BLOCK)
    for start in tqdm(starts, "looking for near-copies", delay=2, leave=False):
        block, rest = slice(start, start + IMAGE_BLOCK), slice(start, None)
        likely = np.zeros((len(whole[block]), len(whole[rest])), dtype=bool)
        for waves in trimmed:  # either of the two may be the cropped one
            likely |= waves[block] @ whole[rest].T >= MIN_COSINE
            likely |= whole[block] @ waves[rest].T >= MIN_COSINE
        pairs = start + np.argwhere(np.triu(likely, k=1))
        for first in range(0, len(pairs), PAIR_BLOCK):
            yield pairs[first : first + PAIR_BLOCK]


def _low_frequencies(thumbnails: np.ndarray, trim: int) -> np.ndarray:
    """DCT of the thumbnails without their rims: float32 (images, 34), rows of length 1.

    Each frequency is weighed by itself, since natural images have the less of it the higher it
    is. A flat image's row is 0.
    """
    side = THUMBNAIL_SIDE - 2 * trim
    waves = np.zeros((RADIUS + 1, THUMBNAIL_SIDE), dtype=np.float32)
    places = (np.arange(side) + 0.5) / side
    waves[:, trim : trim + side] = np.cos(np.pi * np.outer(np.arange(RADIUS + 1), places))
    waves *= (2 / side) ** 0.5
    waves[0] *= 0.5**0.5
    heights = np.hypot(*np.indices((RADIUS + 1, RADIUS + 1)))
    kept = (heights > 0) & (heights <= RADIUS)
    values = np.empty((len(thumbnails), kept.sum()), dtype=np.float32)
    for start in range(0, len(thumbnails), IMAGE_BLOCK):
        block = thumbnails[start : start + IMAGE_BLOCK].astype(np.float32)
        values[start : start + IMAGE_BLOCK] = (waves @ block @ waves.T)[:, kept]
    flat = np.linalg.norm(values, axis=1) < 0.1 * side  # gray levels: less is rounding
    values *= heights[kept]
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)
    values[flat] = 0
    return values


def _are_copies(left: np.ndarray, right: np.ndarray, small: bool) -> bool:
    """Whether two thumbnails agree once `right` lies over `left`."""
    warp = np.eye(2, 3, dtype=np.float32)
    try:
        _, warp = cv2.findTransformECC(left, right, warp, cv2.MOTION_AFFINE, ALIGNMENT, None, 5)
    except cv2.error:  # no overlap found; a copy that needs no alignment is still one
        warp = np.eye(2, 3, dtype=np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(right, warp, right.shape, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    covered = cv2.warpAffine(np.ones_like(right), warp, right.shape, flags=flags) > 0
    if covered.mean() < MIN_OVERLAP:
        return False
    blurred = [_blurred(thumbnail, 2)[covered] for thumbnail in (left, moved)]
    if _correlation(*blurred) < MIN_BLURRED_CORRELATION:
        return False
    if small and np.sqrt(np.mean((blurred[0] - blurred[1]) ** 2)) <= MAX_DIFFERENCE:
        return True
    fine = [_details(thumbnail)[covered] for thumbnail in (left, moved)]
    return _correlation(*fine) >= (SMALL_FINE_CORRELATION if small else MIN_FINE_CORRELATION)


def _details(thumbnail: np.ndarray) -> np.ndarray:
    """What lies between noise and light, float32, same shape: strong edges count little more.

    Else two cars of one model would agree by their outlines alone.
    """
    smooth = _blurred(thumbnail, 0.8)
    details = smooth - _blurred(smooth, 2)
    return details / (np.sqrt(_blurred(details**2, 4)) + 4)  # 4 gray levels: noise stays small


def _blurred(thumbnail: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(thumbnail.astype(np.float32), (0, 0), sigma)


def _correlation(left: np.ndarray, right: np.ndarray) -> float:
    """Correlation of two lists of values; 0 where one is flat."""
    left, right = left - left.mean(), right - right.mean()
    lengths = np.linalg.norm(left), np.linalg.norm(right)
    if min(lengths) < 0.03 * len(left) ** 0.5:  # less is rounding
        return 0.0
    return float(left @ right / (lengths[0] * lengths[1]))
