"""Views show the crop that they are named for; those that gain are chosen, on other images."""

import numpy as np
import pandas as pd
import pytest

from podium.competitions.metrics import Accuracy, LogLoss, Metric
from podium.files.image_io import resize
from podium.predictions.tta import CROP, VIEWS, View, choose_views

BY_NAME = {view.name: view for view in VIEWS}
SIDE = 64  # of which CROP is 56 pixels


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Every pixel tells its row (red) and its column (green)."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.stack([rows, columns, 0 * rows], axis=2).astype(np.uint8)


def test_the_first_view_is_the_image_itself(image: np.ndarray) -> None:
    assert VIEWS[0].name == "plain"
    np.testing.assert_array_equal(VIEWS[0](image, SIDE), image)


def test_the_plain_view_of_an_oblong_image_is_resized(image: np.ndarray) -> None:
    oblong = image[:40]
    np.testing.assert_array_equal(VIEWS[0](oblong, 24), resize(oblong, 24, 24))


def test_the_mirrored_view_is_mirrored(image: np.ndarray) -> None:
    np.testing.assert_array_equal(BY_NAME["mirrored"](image, SIDE), image[:, ::-1])


@pytest.mark.parametrize(
    ("name", "top", "left"),
    [
        ("center", 4, 4),
        ("center mirrored", 4, 4),
        ("top left", 0, 0),
        ("top right mirrored", 0, 8),
        ("bottom right", 8, 8),
        ("bottom left mirrored", 8, 0),
    ],
)
def test_a_crop_shows_the_part_that_it_is_named_for(
    image: np.ndarray, name: str, top: int, left: int
) -> None:
    size = round(SIDE * CROP)
    part = image[top : top + size, left : left + size]
    expected = part[:, ::-1] if name.endswith("mirrored") else part
    np.testing.assert_array_equal(BY_NAME[name](image, size), expected)


def test_a_crop_of_an_oblong_image_keeps_its_share_of_both_sides(image: np.ndarray) -> None:
    part = View("", 0.5, 1, 0)(image[:32], 16)  # the upper right quarter, 16 × 32, squeezed
    np.testing.assert_array_equal(part, resize(image[:16, 32:], 16, 16))


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_wider_view_adds_a_reflected_border(image: np.ndarray, mirrored: bool) -> None:
    view = BY_NAME["wider mirrored" if mirrored else "wider"]
    border = SIDE // 16  # 1.125 times the side, half of it left and half right
    wider = view(image, SIDE + 2 * border)
    wider = wider[:, ::-1] if mirrored else wider
    np.testing.assert_array_equal(wider[border:-border, border:-border], image)
    expected_rows = [*range(border, 0, -1), *range(SIDE), *range(SIDE - 2, SIDE - 2 - border, -1)]
    np.testing.assert_array_equal(wider[:, 0, 0], expected_rows)
    np.testing.assert_array_equal(wider[0, :, 1], expected_rows)


@pytest.mark.parametrize("size", [56, SIDE])
@pytest.mark.parametrize("shape", [(SIDE, SIDE), (200, 90), (1, 1), (3, 400)], ids=str)
def test_every_view_of_every_image_is_a_square(size: int, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    before = image.copy()
    for view in VIEWS:
        seen = view(image, size)
        assert (seen.dtype, seen.shape) == (np.uint8, (size, size, 3))
        np.testing.assert_array_equal(seen, view(image, size))
    np.testing.assert_array_equal(image, before)


def test_views_differ_and_so_do_their_names(image: np.ndarray) -> None:
    assert len(BY_NAME) == len(VIEWS) == 10  # as many as a recipe may ask for
    assert len({view(image, SIDE).tobytes() for view in VIEWS}) == len(VIEWS)


# --- Boxes

BOX_SHAPES = [(64, 64), (200, 150), (90, 333), (77, 51)]


def with_rectangle(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An image with a white rectangle that every view shows whole, and its box in shares."""
    height, width = shape
    x, y, other_x, other_y = map(
        round, np.array([0.3, 0.2, 0.8, 0.6]) * [width, height, width, height]
    )
    drawn = np.zeros((height, width, 3), np.uint8)
    drawn[y:other_y, x:other_x] = 255
    return drawn, np.array([x, y, other_x, other_y]) / (width, height, width, height)


@pytest.mark.parametrize("shape", BOX_SHAPES, ids=str)
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_box_in_a_view_is_mapped_to_its_pixels_in_the_image(
    view: View, shape: tuple[int, int]
) -> None:
    drawn, box = with_rectangle(shape)
    size, (height, width) = 128, shape
    rows, columns = np.nonzero(view(drawn, size)[..., 0] > 127)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    back = view.to_image(found / size, width, height)
    np.testing.assert_allclose(back, box, atol=1.2 / size)


def test_each_box_is_mapped_by_the_sides_of_its_image() -> None:
    random = np.random.default_rng(0)
    boxes, (width, height) = random.uniform(-0.2, 1.2, (30, 4)), random.integers(1, 900, (2, 30))
    for view in VIEWS:
        each = [view.to_image(*one) for one in zip(boxes, width, height, strict=True)]
        np.testing.assert_array_equal(view.to_image(boxes, width, height), each)


def test_a_shrunk_image_moves_a_box_by_less_than_its_pixel() -> None:
    _, box = with_rectangle((100, 100))
    for view in VIEWS:
        original, shrunk = view.to_image(box, 1600, 1203), view.to_image(box, 85, 64)
        assert np.abs(original - shrunk).max() < 1 / 64


# --- The choice of views

IMAGES = 400
LABELS = pd.Series(
    np.random.default_rng(0).integers(3, size=IMAGES),
    [f"{number}.jpg" for number in range(IMAGES)],
)
METRICS = pytest.mark.parametrize("metric", [Accuracy(), LogLoss()], ids=lambda metric: metric.name)


def view(name: str, seed: int, skill: float) -> pd.DataFrame:
    """Probabilities in one view, the rows in an order of their own."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(IMAGES, 3))
    logits[np.arange(IMAGES), LABELS] += skill
    powers = np.exp(2 * logits)
    index = pd.MultiIndex.from_product([LABELS.index, [name]], names=["id", "view"])
    table = pd.DataFrame(powers / powers.sum(axis=1, keepdims=True), index, list("abc"))
    return table.sample(frac=1, random_state=seed).astype(np.float32)


def value(metric: Metric, probabilities: pd.DataFrame) -> float:
    labels = LABELS.loc[probabilities.index].to_numpy()
    sign = 1 if metric.higher_is_better else -1
    return sign * metric.per_image(labels, probabilities.to_numpy()).mean()


@METRICS
def test_good_views_are_kept_and_bad_ones_dropped(metric: Metric) -> None:
    views = [view("plain", 1, 1.0), view("good", 2, 1.0), view("bad", 3, -1.0)]
    choice = choose_views(pd.concat(views), LABELS, metric)
    assert choice.weights.keys() == {"plain", "good"}
    assert sum(choice.weights.values()) == pytest.approx(1)
    plain = value(metric, views[0].droplevel("view"))
    assert value(metric, choice.cross_fitted) > plain + 0.02
    assert sorted(choice.cross_fitted.index) == sorted(LABELS.index)
    np.testing.assert_allclose(choice.cross_fitted.sum(axis=1), 1, atol=1e-5)


@METRICS
def test_the_plain_view_stays_where_no_other_gains(metric: Metric) -> None:
    bad = [view(f"bad {seed}", seed, -0.5) for seed in range(2, 6)]
    plain = view("plain", 1, 2.0)
    choice = choose_views(pd.concat([plain, *bad]), LABELS, metric)
    assert choice.weights == {"plain": 1.0}
    wanted = plain.droplevel("view").loc[choice.cross_fitted.index]
    pd.testing.assert_frame_equal(choice.cross_fitted, wanted)


def test_the_plain_view_may_count_more_than_each_other() -> None:
    views = [view("plain", 1, 1.0), *(view(f"other {seed}", seed, 0.5) for seed in (2, 3))]
    weights = choose_views(pd.concat(views), LABELS, LogLoss()).weights
    assert weights.pop("plain") >= 0.5
    assert weights and len(set(weights.values())) == 1


def test_among_many_views_that_guess_the_score_is_not_that_of_the_luckiest() -> None:
    views = [view("plain" if seed == 0 else str(seed), seed, 0.0) for seed in range(8)]
    choice = choose_views(pd.concat(views), LABELS, Accuracy())
    luckiest = max(one["value"] for one in choice.tried)
    assert value(Accuracy(), choice.cross_fitted) < luckiest - 0.01


@METRICS
def test_an_image_has_no_part_in_its_own_choice(metric: Metric) -> None:
    """Where two views are level, an image that prefers one of them must not get it for that."""
    tables = pd.concat([view("plain", 1, 1.0), view("other", 2, 1.0)])
    before = choose_views(tables, LABELS, metric).cross_fitted
    first = LABELS.index[LABELS == 0][0]
    surer = tables.copy()
    surer.loc[(first, "other"), :] = [1, 0, 0]
    after = choose_views(surer, LABELS, metric).cross_fitted
    share = (before.loc[first, "a"] - tables.loc[(first, "plain"), "a"]) / (
        tables.loc[(first, "other"), "a"] - tables.loc[(first, "plain"), "a"]
    )
    found = (after.loc[first, "a"] - tables.loc[(first, "plain"), "a"]) / (
        1 - tables.loc[(first, "plain"), "a"]
    )
    assert found == pytest.approx(share, abs=1e-3)


def test_a_view_that_some_images_lack_is_passed_over() -> None:
    """A fold may have been predicted with fewer views."""
    tables = pd.concat([view("plain", 1, 1.0), view("half", 2, 5.0)[: IMAGES // 2]])
    assert choose_views(tables, LABELS, Accuracy()).weights == {"plain": 1.0}
