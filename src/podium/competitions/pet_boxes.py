"""Boxes of the pets as their files tell them: Pascal VOC, or a plain list."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from podium.competitions.boxes import BOX_COLUMNS, NO_BOX, from_pixels, has_box
from podium.competitions.csv_files import other_separator, read_rows, shown
from podium.competitions.errors import MissingData, WrongTable
from podium.files.image_io import Size, UnreadableImage, read_size

LIST_COLUMNS = ("file", "x1", "y1", "x2", "y2", "class")
CORNERS = ("xmin", "ymin", "xmax", "ymax")

Corners = tuple[float, float, float, float]  # pixels, counted from 1


@dataclass(frozen=True)
class Annotation:
    """What is said of an image."""

    file: str
    kind: str  # the name of its class
    corners: Corners | None  # of the largest head, or of none
    sides: tuple[int, int] | None = None  # width and height that the corners were measured in


def read_voc(folder: Path, name: str, kind: str) -> Annotation:
    """What `<name>.xml` says of an image; without the file it has a class and no box.

    The file's own name decides which image it is of, not the one that is written in it, and
    `kind` what the image shows. Of several heads the largest of that kind is taken, or the
    largest of all where none is called so.

    Raises:
        MissingData: it is no XML, or a box in it has not four numbers.
    """
    path, file = folder / f"{name}.xml", f"{name}.jpg"
    if not path.is_file():
        return Annotation(file, kind, None)
    try:
        root = ElementTree.fromstring(path.read_bytes())
        heads = [
            ((one.findtext("name") or "").strip().lower(), _corners(box))
            for one in root.iter("object")
            if (box := one.find("bndbox")) is not None
        ]
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise MissingData(
            f"{path} is not in Pascal VOC: {error}. Mend it, or delete it to train on the "
            "image's class alone"
        ) from error
    of_kind = [corners for named, corners in heads if named == kind]
    largest = max(of_kind or [corners for _, corners in heads], key=_area, default=None)
    return Annotation(file, kind, largest, _sides(root))


def begins_as_list(path: Path, classes: Sequence[str]) -> bool:
    """Whether the first line of a CSV is one that `read_list` reads."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        cells = [cell.strip().lower() for cell in file.readline().split(",")]
    return set(LIST_COLUMNS) <= set(cells) or (
        len(cells) == len(LIST_COLUMNS) and cells[-1] in classes
    )


def read_list(path: Path, classes: Sequence[str]) -> dict[str, Annotation]:
    """What a CSV `file,x1,y1,x2,y2,class` says, by file name without ending.

    Its first line may name the columns, in any order. A row without coordinates is an image
    without a box, one without a class no training image. Of several rows of a file the one with
    the largest box counts.

    Raises:
        MissingData: other columns, numbers that are none, or classes that are not known.
    """
    found: dict[str, Annotation] = {}
    for line, row in _list_rows(path):
        file, *numbers, kind = (row[column].strip() for column in LIST_COLUMNS)
        if not kind:
            continue
        if kind.lower() not in classes:
            raise MissingData(
                f"{path}, line {line}: the class must be {' or '.join(classes)}, came {kind!r}; "
                "mend it, or leave it empty"
            )
        corners = None
        if any(numbers):
            try:
                corners = _numbers(numbers)
            except ValueError as error:
                raise MissingData(
                    f"{path}, line {line}: {error}; mend them, or leave all four empty"
                ) from error
        one = Annotation(file.replace("\\", "/"), kind.lower(), corners)
        name = Path(one.file).stem
        before = found.get(name)
        if before and before.file != one.file:
            raise MissingData(
                f"{path}, line {line}: {one.file} and {before.file} would have the same id {name}: "
                "rename one"
            )
        found[name] = one if before is None else max(before, one, key=_area_of)
    return found


def boxes_of(annotated: Sequence[Annotation], paths: pd.Series) -> pd.DataFrame:
    """The boxes of images in shares of the upright image, indexed as `paths`.

    An image that cannot be read has none, and neither has one whose box lies beside it, which is
    said.
    """
    with ThreadPoolExecutor() as pool:
        pairs = pool.map(_box, annotated, paths)
        boxes = list(tqdm(pairs, "reading boxes", len(paths), unit=" images", delay=2))
    values = np.array(boxes, np.float32).reshape(-1, 4)
    marked = np.array([one.corners is not None for one in annotated], bool)
    lost = paths.index[marked & ~has_box(values) & [Path(path).is_file() for path in paths]]
    if len(lost):
        print(
            f"warning: {len(lost)} boxes lie outside of their images, or these cannot be read: "
            f"{', '.join(lost[:3])}{', …' if len(lost) > 3 else ''}. They train the class alone"
        )
    return pd.DataFrame(values, paths.index, list(BOX_COLUMNS))


def _box(one: Annotation, path: Path) -> np.ndarray:
    """float32 (4,), NaN where there is none."""
    if one.corners is None:
        return NO_BOX
    try:
        size = read_size(path)
    except UnreadableImage:  # what a run does with these is said where all images are read
        return NO_BOX
    if one.sides == size.stored != (size.width, size.height):
        return _turned(from_pixels(np.array(one.corners), *size.stored), size)
    return from_pixels(np.array(one.corners), size.width, size.height)


def _turned(box: np.ndarray, size: Size) -> np.ndarray:
    """A box of the image as it is stored on its side, in the upright image.

    Annotation programs that do not heed EXIF show it so. Where the sides do not tell, the box is
    of the image as everybody sees it.
    """
    x, y, other_x, other_y = box
    turned = {
        5: (y, x, other_y, other_x),
        6: (1 - other_y, x, 1 - y, other_x),
        7: (1 - other_y, 1 - other_x, 1 - y, 1 - x),
        8: (y, 1 - other_x, other_y, 1 - x),
    }[size.orientation]
    return np.array(turned, np.float32)


def _corners(box: ElementTree.Element) -> Corners:
    return _numbers([box.findtext(corner) or "" for corner in CORNERS])


def _numbers(texts: Sequence[str]) -> Corners:
    """Four corners; raises ValueError where they are none."""
    try:
        numbers = tuple(float(text) for text in texts)
    except ValueError:
        numbers = ()
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise ValueError(f"a box needs four numbers, came {', '.join(texts)!r}")
    return numbers  # type: ignore[return-value]


def _sides(root: ElementTree.Element) -> tuple[int, int] | None:
    """Width and height as the file says them, where it does."""
    try:
        return int(root.findtext("size/width", "")), int(root.findtext("size/height", ""))
    except ValueError:
        return None


def _area(corners: Corners) -> float:
    return abs(corners[2] - corners[0]) * abs(corners[3] - corners[1])


def _area_of(one: Annotation) -> float:
    return -1.0 if one.corners is None else _area(one.corners)


def _list_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a list with their line numbers, a text for each of `LIST_COLUMNS`."""
    try:
        lines = [(line, row) for line, row in read_rows(path) if any(map(str.strip, row))]
    except WrongTable as error:
        raise MissingData(str(error)) from error
    if not lines:
        raise MissingData(f"{path} has no rows: write one for each image, or delete the file")
    columns = list(LIST_COLUMNS)
    first = [cell.strip().lower() for cell in lines[0][1]] if lines else []
    if set(LIST_COLUMNS) <= set(first):
        columns, lines = first, lines[1:]
    for line, row in lines:
        if len(row) != len(columns):
            hint = other_separator(row) or "; mend the line"
            raise MissingData(
                f"{path}, line {line}: expected {','.join(columns)}, came {shown(row)}{hint}"
            )
    return [(line, dict(zip(columns, row, strict=True))) for line, row in lines]
