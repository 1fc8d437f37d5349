"""The index finds what comparing all with all finds, whatever the vectors are like."""

import numpy as np
import pytest

from podium.data.neighbors import Cells

LEAST = 0.92


def directions(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors, crowded here and thin there as those of images are."""
    rng = np.random.default_rng(seed)
    crowds = rng.normal(size=(20, 34))
    values = crowds[rng.integers(0, 20, count)] + rng.normal(size=(count, 34)) * 0.8
    return unit(values)


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def found(points: np.ndarray, queries: np.ndarray) -> set[tuple[int, int]]:
    pairs = [tuple(pair) for block in Cells(points).near(queries, LEAST) for pair in block.tolist()]
    assert len(pairs) == len(set(pairs)), "each pair comes once"
    return set(pairs)


def test_what_is_near_is_found() -> None:
    points = directions(3000)
    noise = np.random.default_rng(1).normal(size=(300, 34)) * 0.04
    queries = unit(points[::10] + noise)
    expected = set(map(tuple, np.argwhere(queries @ points.T >= LEAST).tolist()))
    assert len(expected) >= 300
    pairs = found(points, queries)
    assert pairs <= expected
    assert len(pairs) >= 0.99 * len(expected)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_few_points_are_all_compared(count: int) -> None:
    points = directions(count)
    expected = set(map(tuple, np.argwhere(points @ points.T >= LEAST).tolist()))
    assert {(row, row) for row in range(count)} <= found(points, points) <= expected


def test_points_that_are_all_the_same_are_found() -> None:
    points = np.repeat(directions(1), 40, axis=0)
    assert len(found(points, points)) == 40 * 40
    opposite = np.concatenate([points, -points])
    assert len(found(opposite, opposite)) == 2 * 40 * 40
