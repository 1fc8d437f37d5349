"""The pets: boxes out of VOC files and lists as the real ones have them, and what is wrong said."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from podium.competitions import MissingData, WrongSubmission, get_competition
from podium.competitions.boxes import BOX_COLUMNS, box_table, to_pixels
from podium.competitions.submission import check_submission_file
from podium.files.atomic_write import write_csv
from podium.files.image_io import read_image

PETS = get_competition("pets")
WIDTH, HEIGHT = 40, 20
HEAD = (11, 6, 20, 10)  # pixels from 1, the last one with it
RED = np.array((255, 0, 0))
SHARES = np.float32([0.25, 0.25, 0.5, 0.5])
HEADER = "file,x1,y1,x2,y2,class"
ROW = "A_1.jpg,11,6,20,10,cat"


def with_head() -> Image.Image:
    """Black, the head red."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    x, y, other_x, other_y = HEAD
    image[y - 1 : other_y, x - 1 : other_x] = RED
    return Image.fromarray(image)


def red_box(path: Path) -> np.ndarray:
    """Where the head is in the image as a network gets it, in shares."""
    image = read_image(path)
    y, x = np.nonzero((image == RED).all(axis=2))
    height, width = image.shape[:2]
    edges = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
    return edges / (width, height, width, height)


def head(corners: object = HEAD, name: str = "cat") -> str:
    tags = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    numbers = "".join(f"<{tag}>{number}</{tag}>" for tag, number in tags)
    return f"<object><name>{name}</name><bndbox>{numbers}</bndbox></object>"


def xml(*objects: str, size: tuple[int, int] | None = (WIDTH, HEIGHT), file: str = "x.jpg") -> str:
    sides = "<size><width>{}</width><height>{}</height></size>".format(*size) if size else ""
    return f"<annotation><filename>{file}</filename>{sides}{''.join(objects)}</annotation>"


class Data:
    """The folder of the pets: cats A_1 and A_2, a dog b_1, and A_9 to be tested."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images, self.annotations = folder / "images", folder / "annotations"
        self.xmls = self.annotations / "xmls"
        self.images.mkdir(parents=True)
        self.xmls.mkdir(parents=True)
        for name in ("A_1", "A_2", "b_1", "A_9"):
            with_head().save(self.images / f"{name}.jpg", format="PNG")
        self.split("trainval", "A_1 1 1 1", "A_2 1 1 1", "b_1 2 2 1")
        self.split("test", "A_9 1 1 1")
        self.voc("A_1", xml(head()))

    def split(self, name: str, *lines: str) -> None:
        (self.annotations / f"{name}.txt").write_text("\n".join(lines) + "\n")

    def voc(self, name: str, content: str) -> None:
        (self.xmls / f"{name}.xml").write_text(content)

    def list(self, *lines: str, name: str = "heads.csv") -> Path:
        (self.annotations / "trainval.txt").unlink(missing_ok=True)
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n")
        return path

    def boxes(self) -> pd.DataFrame:
        return PETS.read_training()[list(BOX_COLUMNS)]

    def box(self, name: str = "A_1") -> np.ndarray:
        return self.boxes().loc[name].to_numpy()


@pytest.fixture
def pets(data: Path) -> Data:
    return Data(data / PETS.slug)


def complaint(act: Callable[[], object], kind: type[Exception] = MissingData) -> str:
    with pytest.raises(kind) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- As it unpacks


def test_a_box_is_where_the_head_is(pets: Data) -> None:
    table = PETS.read_training()
    np.testing.assert_array_equal(pets.box(), SHARES)
    np.testing.assert_allclose(red_box(table.loc["A_1", "path"]), SHARES)
    assert (table[list(BOX_COLUMNS)].dtypes == np.float32).all()
    assert table["label"].to_dict() == {"A_1": 0, "A_2": 0, "b_1": 1}
    assert PETS.read_test().columns.tolist() == ["path"]


def test_an_image_without_a_box_has_its_class(pets: Data) -> None:
    pets.voc("b_1", xml())
    boxes = pets.boxes()
    assert boxes.loc[["A_2", "b_1"]].isna().all(axis=None)
    assert boxes.index.tolist() == ["A_1", "A_2", "b_1"]


def test_boxes_of_test_images_are_left_alone(pets: Data) -> None:
    pets.voc("A_9", "broken")
    assert "A_9" not in pets.boxes().index
    assert PETS.read_test().index.tolist() == ["A_9"]


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, mode) for kind in ("PNG", "GIF", "BMP") for mode in ("RGB", "L", "P", "RGBA")]
    + [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK")],
)
def test_images_are_what_they_contain(pets: Data, kind: str, mode: str) -> None:
    path = pets.images / "A_1.jpg"
    with_head().convert(mode).save(path, format=kind)
    np.testing.assert_array_equal(pets.box(), SHARES)
    assert read_image(path).shape == (HEIGHT, WIDTH, 3)


def test_what_lies_among_the_images_and_is_none_is_passed_over(pets: Data) -> None:
    for name in ("A_1.mat", "A_2.mat", "._A_1.jpg", ".DS_Store"):
        (pets.images / name).write_bytes(b"no image")
    (pets.xmls / "._A_2.xml").write_bytes(b"no xml")
    (pets.annotations / "list.txt").write_text("#Image CLASS-ID\nA_1 1 1 1\n")
    pets.split("trainval", "#Image CLASS-ID SPECIES BREED", "", "A_1 1 1 1", "b_1 2 2 1")
    table = PETS.read_training()
    assert table["path"].map(lambda path: path.name).tolist() == ["A_1.jpg", "b_1.jpg"]


def test_an_image_with_another_ending_is_found(pets: Data) -> None:
    (pets.images / "A_1.jpg").rename(pets.images / "A_1.png")
    np.testing.assert_array_equal(pets.box(), SHARES)
    with_head().save(pets.images / "A_1.JPG")
    assert PETS.read_training().loc["A_1", "path"].name == "A_1.JPG"


def test_an_unpacking_twice_nested_is_read(pets: Data) -> None:
    for part in (pets.images, pets.annotations):
        part.rename(pets.folder / "part")
        part.mkdir()
        (pets.folder / "part").rename(part / part.name)
    np.testing.assert_array_equal(pets.box(), SHARES)
    assert PETS.read_test().index.tolist() == ["A_9"]


def test_the_files_name_counts_and_not_the_one_within(pets: Data) -> None:
    pets.voc("A_1", xml(head(), file="b_1.jpg"))
    pets.voc("b_1", xml(head((1, 1, 8, 8), "dog"), file="A_1.jpg"))
    np.testing.assert_array_equal(pets.box(), SHARES)


@pytest.mark.parametrize(
    ("corners", "shares"),
    [
        ((1, 1, 40, 20), (0, 0, 1, 1)),
        ((0, -3, 55, 21), (0, 0, 1, 1)),
        ((20, 10, 11, 6), SHARES),
        ((11.0, 6.0, 20.0, 10.0), SHARES),
        (("11 ", "6\n", " 20", "10"), SHARES),
    ],
    ids=["whole", "beyond", "swapped", "decimals", "spaces"],
)
def test_corners_as_they_come(pets: Data, corners: tuple, shares: tuple) -> None:
    pets.voc("A_1", xml(head(corners)))
    np.testing.assert_array_equal(pets.box(), np.float32(shares))


def test_a_box_beside_the_image_is_none_and_said(
    pets: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    pets.voc("A_1", xml(head((50, 1, 60, 9))))
    assert np.isnan(pets.box()).all()
    assert "warning: 1 boxes lie outside of their images" in capsys.readouterr().out


def test_a_broken_image_has_no_box_and_stops_nothing_here(pets: Data) -> None:
    pets.voc("A_2", xml(head()))
    (pets.images / "A_1.jpg").write_bytes(b"")
    (pets.images / "A_2.jpg").unlink()
    assert pets.boxes().loc[["A_1", "A_2"]].isna().all(axis=None)


def test_the_largest_head_of_the_images_kind_is_taken(pets: Data) -> None:
    large, small = (1, 1, 30, 18), (1, 1, 3, 3)
    pets.voc("A_1", xml(head(large, "dog"), head(small), head()))
    np.testing.assert_array_equal(pets.box(), SHARES)
    pets.voc("A_1", xml(head(small, "dog"), head(HEAD, "Dog")))  # mislabeled, as the list says
    np.testing.assert_array_equal(pets.box(), SHARES)
    assert PETS.read_training().loc["A_1", "label"] == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "no element found"),
        ("<annotation>", "no element found"),
        ('<?xml version="1.0" encoding="utmf-8"?><annotation/>', "unknown encoding: utmf-8"),
        (xml(head((1, 2, "x", 4))), "a box needs four numbers, came '1, 2, x, 4'"),
        (xml(head((1, 2, "nan", 4))), "a box needs four numbers"),
        (xml(head()).replace("ymax", "bottom"), "a box needs four numbers, came '11, 6, 20, '"),
    ],
)
def test_a_broken_annotation_is_named(pets: Data, content: str, expected: str) -> None:
    pets.voc("A_1", content)
    message = complaint(PETS.read_training)
    assert message.startswith(f"{pets.xmls / 'A_1.xml'} is not in Pascal VOC: ")
    assert expected in message
    assert message.endswith("Mend or delete it")


@pytest.mark.parametrize("line", ["A_1", "A_1 1", "A_1 1 3 1", "A_1 1 cat 1"])
def test_a_line_without_a_species_is_named(pets: Data, line: str) -> None:
    pets.split("trainval", line)
    message = complaint(PETS.read_training)
    assert str(pets.annotations / "trainval.txt") in message
    assert message.endswith(f"came {line!r}; mend the line")


@pytest.mark.parametrize("name", ["trainval", "test"])
def test_a_missing_split_is_named(pets: Data, name: str) -> None:
    (pets.annotations / f"{name}.txt").unlink()
    read = PETS.read_test if name == "test" else PETS.read_training
    assert complaint(read) == (
        f"{pets.annotations / name}.txt is missing; unpack the download again"
    )


# --- A plain list


@pytest.mark.parametrize("header", [[HEADER], []], ids=["header", "no header"])
@pytest.mark.parametrize("where", [".", "annotations"])
def test_a_list_is_read(pets: Data, header: list[str], where: str) -> None:
    pets.list(*header, ROW, "A_2.jpg,,,,,cat", "b_1.jpg,1,1,40,20,Dog", name=f"{where}/heads.csv")
    table = PETS.read_training()
    assert table["label"].to_dict() == {"A_1": 0, "A_2": 0, "b_1": 1}
    np.testing.assert_array_equal(pets.box(), SHARES)
    np.testing.assert_array_equal(pets.box("b_1"), [0, 0, 1, 1])
    assert np.isnan(pets.box("A_2")).all()
    assert PETS.read_test().index.tolist() == ["A_9"], "of test.txt"


def test_without_test_txt_the_images_that_are_not_in_the_list_are_tested(pets: Data) -> None:
    for path in [*pets.annotations.rglob("*.*")]:
        path.unlink()
    pets.list(HEADER, ROW, "b_1.jpg,1,1,40,20,dog", "A_2.jpg,,,,,")
    assert PETS.read_training().index.tolist() == ["A_1", "b_1"]
    assert PETS.read_test().index.tolist() == ["A_2", "A_9"]


def test_the_largest_of_several_rows_counts(pets: Data) -> None:
    pets.list("A_1.jpg,1,1,4,4,dog", ROW, "A_1.jpg,,,,,dog", "b_1.jpg,,,,,dog")
    table = PETS.read_training()
    np.testing.assert_array_equal(pets.box(), SHARES)
    assert table["label"].to_dict() == {"A_1": 0, "b_1": 1}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("A_1.jpg,1,2,3,cat", "line 2: expected file,x1,y1,x2,y2,class, came 'A_1.jpg,1,2,3,cat'"),
        ("A_1.jpg,1,,3,4,cat", "line 2: a box needs four numbers, came '1, , 3, 4'"),
        ("A_1.jpg,1,a,3,4,cat", "line 2: a box needs four numbers, came '1, a, 3, 4'"),
        ("A_1.jpg,1,2,3,4,cow", "line 2: the class must be cat or dog, came 'cow'"),
        (
            "A_1.jpg,1,2,3,4,dgo",
            "line 2: the class must be cat or dog, came 'dgo'; mend it, or leave it "
            "empty; did you mean dog?",
        ),
    ],
)
def test_a_broken_row_is_named_by_its_line(pets: Data, row: str, expected: str) -> None:
    path = pets.list("b_1.jpg,1,2,3,4,dog", row)
    assert complaint(PETS.read_training).startswith(f"{path}, {expected}")


def test_other_csvs_beside_the_unpacked_set_are_passed_over(pets: Data) -> None:
    (pets.folder / "submission.csv").write_text("id,label,xmin,ymin,xmax,ymax\nA_9,cat,1,1,2,2\n")
    (pets.annotations / "notes.csv").write_text("\0")
    np.testing.assert_array_equal(pets.box(), SHARES)
    (pets.annotations / "trainval.txt").unlink()  # now it must be one of them
    assert "expected one CSV of boxes, came " in complaint(PETS.read_training)
    (pets.annotations / "notes.csv").unlink()
    message = complaint(PETS.read_training)
    assert "submission.csv, line 1: the class must be cat or dog, came 'ymax'" in message


def test_two_lists_are_refused(pets: Data) -> None:
    pets.list(ROW)
    pets.list(ROW, name="annotations/more.csv")
    message = complaint(PETS.read_training)
    assert message.endswith("heads.csv") and "annotations/more.csv, " in message


# --- Boxes in shares, and of another size


@pytest.mark.parametrize("shares", ["0.25,0.25,0.5,0.5", "0,0,1,1", "0.5,0.5,1.02,0.9"])
def test_boxes_in_shares_are_refused(pets: Data, shares: str) -> None:
    pets.voc("A_1", xml(head(shares.split(","))))
    message = complaint(PETS.read_training)
    assert message.startswith(str(pets.xmls / "A_1.xml"))
    assert "came shares of 0 to 1: " in message
    path = pets.list(HEADER, f"A_1.jpg,{shares},cat", "b_1.jpg,,,,,dog")
    message = complaint(PETS.read_training)
    assert message.startswith(f"{path}, line 2: a box is in pixels, came ")
    assert "came shares of 0 to 1: " in message


@pytest.mark.parametrize("factor", [2, 0.5, 3.7])
def test_a_box_is_scaled_from_the_size_that_it_was_measured_on(pets: Data, factor: float) -> None:
    x, y, *end = HEAD
    corners = [(x - 1) * factor + 1, (y - 1) * factor + 1, *(edge * factor for edge in end)]
    size = round(WIDTH * factor), round(HEIGHT * factor)
    pets.voc("A_1", xml(head(corners), size=size))
    np.testing.assert_allclose(pets.box(), SHARES, atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("scale", [1, 3])
def test_a_box_on_an_image_that_lies_on_its_side_is_turned_with_it(
    pets: Data, orientation: int, scale: int
) -> None:
    """The annotation has the size of the image as it is stored: its program heeds no EXIF."""
    path, exif = pets.images / "A_1.jpg", Image.Exif()
    exif[0x0112] = orientation
    with_head().save(path, "PNG", exif=exif)
    x, y, *end = HEAD
    corners = ((x - 1) * scale + 1, (y - 1) * scale + 1, *(edge * scale for edge in end))
    pets.voc("A_1", xml(head(corners), size=(WIDTH * scale, HEIGHT * scale)))
    if orientation >= 5:  # below, nothing tells which of the two was annotated
        np.testing.assert_allclose(pets.box(), red_box(path), atol=1e-6)
    else:
        np.testing.assert_allclose(pets.box(), SHARES, atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("told", [True, False])
def test_where_the_sides_tell_nothing_the_image_is_named(
    pets: Data, capsys: pytest.CaptureFixture[str], orientation: int, told: bool
) -> None:
    path, exif = pets.images / "A_1.jpg", Image.Exif()
    exif[0x0112] = orientation
    with_head().save(path, "PNG", exif=exif)
    box = (1, 1, 10, 10)  # of the upright image, and of the one on its side as well
    pets.voc("A_1", xml(head(box), size=read_image(path).shape[1::-1] if told else None))
    width, height = read_image(path).shape[1::-1]
    np.testing.assert_allclose(pets.box(), [0, 0, 10 / width, 10 / height])
    is_sure = orientation == 1 or (told and orientation >= 5)
    assert ("EXIF turns 1 images (A_1)" in capsys.readouterr().out) != is_sure


@pytest.mark.parametrize("size", [(30, 30), (20, 40), (40, 25)])
def test_a_box_of_other_proportions_is_refused(pets: Data, size: tuple[int, int]) -> None:
    pets.voc("A_1", xml(head(), size=size))
    message = complaint(PETS.read_training)
    assert message.startswith(f"{pets.images / 'A_1.jpg'} is 40 × 20, its box was ")
    assert f"measured on {size[0]} × {size[1]}" in message


@pytest.mark.parametrize("size", [None, (0, 0)])
def test_a_box_that_does_not_fit_is_refused_where_no_size_is_told(
    pets: Data, size: tuple[int, int] | None
) -> None:
    row = "22,12,60,19"
    pets.voc("A_1", xml(head(row.split(",")), size=size))
    expected = f"{pets.images / 'A_1.jpg'} is 40 × 20, its box ends at 60, 19: it was"
    assert complaint(PETS.read_training).startswith(expected)
    pets.list(f"A_1.jpg,{row},cat", "b_1.jpg,,,,,dog")
    assert complaint(PETS.read_training).startswith(expected)
    pets.list("A_1.jpg,21,11,41,20,cat", "b_1.jpg,,,,,dog")  # a little over the border
    np.testing.assert_array_equal(pets.box(), [0.5, 0.5, 1, 1])


# --- What is submitted

CERTAIN = pd.DataFrame([[1.0, 0], [0, 1]], ["A_9", "A_10"], ["cat", "dog"], dtype=np.float32)


def pixels() -> pd.DataFrame:
    boxes = box_table(["A_10", "A_9"], np.array([[0.0, 0, 1, 1], SHARES]))
    sizes = pd.DataFrame({"width": [40, 30], "height": [20, 10]}, ["A_9", "A_10"])
    return to_pixels(boxes, sizes)


def test_the_csv_has_class_and_box_of_each_test_image(tmp_path: Path) -> None:
    path = tmp_path / "heads.csv"
    submission = PETS.validated_submission(CERTAIN, CERTAIN.index, pixels())
    write_csv(path, submission, index=False)
    assert path.read_text() == (
        "id,label,xmin,ymin,xmax,ymax\nA_9,cat,11,6,20,10\nA_10,dog,1,1,30,10\n"
    )
    assert check_submission_file(PETS, path, CERTAIN.index) == 2


def test_an_image_that_cannot_be_read_has_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "heads.csv"
    some = pixels()
    some.loc["A_9"] = np.nan
    write_csv(path, PETS.validated_submission(CERTAIN, CERTAIN.index, some), index=False)
    assert "A_9,cat,,,,\n" in path.read_text()
    assert check_submission_file(PETS, path, CERTAIN.index) == 2


@pytest.mark.parametrize(
    "box", ["0,6,20,10", "11,6,10,10", "11,11,20,10", "11,6,,10", "a,6,20,10", "11,6,inf,10"]
)
def test_a_box_that_is_none_is_refused(tmp_path: Path, box: str) -> None:
    path = tmp_path / "heads.csv"
    path.write_text(f"id,label,xmin,ymin,xmax,ymax\nA_9,cat,{box}\n")
    message = complaint(lambda: check_submission_file(PETS, path, None), WrongSubmission)
    assert "a box must be four numbers" in message
    assert "line 2" in message


def test_both_forms_of_the_csv_are_named_where_it_has_neither(tmp_path: Path) -> None:
    path = tmp_path / "heads.csv"
    path.write_text("id,xmin\n")
    message = complaint(lambda: check_submission_file(PETS, path, None), WrongSubmission)
    assert "expected the columns 'id,label' or 'id,label,xmin,ymin,xmax,ymax'" in message
