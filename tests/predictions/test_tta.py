"""The views: each shows the part of the image that its name says, the same every time."""

import numpy as np
import pytest

from podium.files.image_io import resize
from podium.predictions.tta import CROP, VIEWS, View

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


def test_the_plain_view_is_the_resized_image(image: np.ndarray) -> None:
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


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (30, 50), (200, 90), (1, 1), (3, 400)])
@pytest.mark.parametrize("size", [56, SIDE])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_view_of_every_image_is_a_square_of_its_own(
    view: View, size: int, shape: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    before = image.copy()
    seen = view(image, size)
    assert seen.dtype == np.uint8
    assert seen.shape == (size, size, 3)
    assert seen.flags.c_contiguous
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
def test_a_box_is_where_its_pixels_are_in_every_view(view: View, shape: tuple[int, int]) -> None:
    drawn, box = with_rectangle(shape)
    size, (height, width) = 128, shape
    rows, columns = np.nonzero(view(drawn, size)[..., 0] > 127)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    seen = view.of_image(box, width, height)
    np.testing.assert_allclose(seen * size, found, atol=1)
    # What a network finds in the view comes back to where it is in the image.
    back = view.to_image(found / size, width, height)
    np.testing.assert_allclose(back, box, atol=1.2 / size)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_boxes_come_back_each_by_the_sides_of_its_image(view: View) -> None:
    random = np.random.default_rng(0)
    boxes, (width, height) = random.uniform(-0.2, 1.2, (30, 4)), random.integers(1, 900, (2, 30))
    seen = view.of_image(boxes, width, height)
    np.testing.assert_allclose(view.to_image(seen, width, height), boxes, atol=1e-9)
    for number in range(30):
        one = view.of_image(boxes[number], width[number], height[number])
        np.testing.assert_array_equal(seen[number], one)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_shrunk_image_moves_a_box_by_less_than_its_pixel(view: View) -> None:
    _, box = with_rectangle((100, 100))
    whole, shrunk = view.to_image(box, 1600, 1203), view.to_image(box, 85, 64)
    assert np.abs(whole - shrunk).max() < 1 / 64


def test_views_that_are_mapped_back_agree() -> None:
    _, box = with_rectangle((90, 120))
    back = [view.to_image(view.of_image(box, 120, 90), 120, 90) for view in VIEWS]
    np.testing.assert_allclose(back, np.tile(box, (len(VIEWS), 1)), atol=1e-12)
    assert all((after[:2] < after[2:]).all() for after in back)
