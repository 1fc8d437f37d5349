"""Oxford-IIIT Pet: cats and dogs, and a box around each one's head.

The classes are the two species and not the 37 breeds: the boxes' files name no breed, a network of
dogs-vs-cats fits as it is, and a part of the set with three breeds is as good as the whole. Boxes
come from Pascal VOC, or from a plain list. Images without a box train the class alone.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from podium.competitions.base import Competition, MissingData, test_table, training_table
from podium.competitions.boxes import NO_BOX, box_table, from_pixels, has_box, tidy
from podium.competitions.csv_files import read_rows, wrong_header
from podium.competitions.image_folders import images_in, subfolder
from podium.competitions.metrics import Accuracy
from podium.files.image_io import Size, UnreadableImage, read_orientation
from podium.text import did_you_mean, summarize

SPECIES = {"1": "cat", "2": "dog"}  # as trainval.txt counts them
BEYOND = 0.05  # of a side; annotators draw a little over the border
LIST_COLUMNS = ["file", "x1", "y1", "x2", "y2", "class"]

Corners = tuple[float, ...]  # four, in pixels counted from 1


class Annotation(NamedTuple):
    """The class of an image, and the box of the largest head in it."""

    kind: str  # the name of its class
    corners: Corners | None
    size: Size | None = None  # of the image that the corners were measured on, where that is told


class Pets(Competition):
    name = "pets"
    slug = "oxford-iiit-pet"
    classes = ("cat", "dog")
    metric = Accuracy()
    kaggle_source = None
    get_it = (
        "unpack images.tar.gz and annotations.tar.gz of "
        "https://www.robots.ox.ac.uk/~vgg/data/pets/ into input/oxford-iiit-pet"
    )
    has_boxes = True

    def training_images(self, folder: Path) -> pd.DataFrame:
        """The images of trainval.txt, or of the list, with their boxes."""
        images, path = _images(folder), _list(folder)
        annotated = read_list(path, self.classes) if path else read_annotations(folder)
        number = self.classes.index
        rows = [(name, _path(images, name), number(one.kind)) for name, one in annotated.items()]
        table = training_table(rows)
        return table.join(_boxes(annotated, table["path"]))

    def test_images(self, folder: Path) -> pd.DataFrame:
        """The images of test.txt; beside a list and without test.txt, those not in the list."""
        images, path = _images(folder), _list(folder)
        test = _annotations(folder) / "test.txt"
        if path and not test.is_file():
            listed = read_list(path, self.classes)
            names = [name for name in images if name not in listed]
        else:
            names = [words[0] for words in _read_split(test)] if images else []
        return test_table(names, [_path(images, name) for name in names])


def read_annotations(folder: Path) -> dict[str, Annotation]:
    """The annotations of trainval.txt and xmls/, by id.

    Raises:
        MissingData: there is no trainval.txt, or a line of it or an XML is not as it should be.
    """
    annotations = _annotations(folder)
    path, found = annotations / "trainval.txt", {}
    for words in _read_split(path):
        species = words[2] if len(words) > 2 else "nothing"
        if species not in SPECIES:
            raise MissingData(
                f"{path}: expected lines like 'Abyssinian_1 1 1 1', the third word 1 for a cat "
                f"or 2 for a dog, came {' '.join(words)!r}; mend the line"
            )
        found[words[0]] = read_voc(annotations / "xmls" / f"{words[0]}.xml", SPECIES[species])
    return found


def read_voc(path: Path, kind: str) -> Annotation:
    """Read a file of Pascal VOC; without it an image has a class and no box.

    Of several heads the largest one of `kind` is taken, which is what the image shows, or the
    largest of all where none is called so.

    Raises:
        MissingData: it is no XML, or a box in it has not four numbers.
    """
    if not path.is_file():
        return Annotation(kind, None)
    heads = []
    try:
        root = ElementTree.fromstring(path.read_bytes())
        sides = [int(float(root.findtext(f"size/{side}") or 0)) for side in Size._fields]
        size = Size(*sides) if min(sides) > 0 else None
        for head in root.iter("object"):
            for box in head.iter("bndbox"):
                texts = [box.findtext(tag) or "" for tag in ("xmin", "ymin", "xmax", "ymax")]
                name = (head.findtext("name") or "").lower()
                heads.append(Annotation(name, _corners(texts), size))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise MissingData(f"{path} is not in Pascal VOC: {error}. Mend or delete it") from error
    of_kind = [head for head in heads if head.kind == kind]
    largest = max(of_kind or heads, key=_area, default=Annotation(kind, None))
    return largest._replace(kind=kind)


def read_list(path: Path, classes: Sequence[str]) -> dict[str, Annotation]:
    """The annotations of a CSV `file,x1,y1,x2,y2,class`, by file name without ending.

    Its first line may name the columns. A row without coordinates is an image without a box, one
    without a class no training image. Of several rows of a file the one with the largest box
    counts.

    Raises:
        MissingData: other columns, numbers that are none, or unknown classes.
    """
    found: dict[str, Annotation] = {}
    for line, row in read_rows(path):
        cells = [cell.strip() for cell in row]
        if cells == LIST_COLUMNS:
            continue
        where = f"{path}, line {line}"
        if len(cells) != len(LIST_COLUMNS):
            raise wrong_header(where, ",".join(LIST_COLUMNS), row, "mend the line")
        file, *numbers, kind = cells
        if not kind:
            continue
        if kind.lower() not in classes:
            raise MissingData(
                f"{where}: the class must be {' or '.join(classes)}, came {kind!r}; mend it, or "
                f"leave it empty{did_you_mean(kind, classes)}"
            )
        try:
            new = Annotation(kind.lower(), _corners(numbers) if any(numbers) else None)
        except ValueError as error:
            raise MissingData(f"{where}: {error}; mend them, or leave all four empty") from error
        name = Path(file).stem
        found[name] = max(found.get(name, new), new, key=_area)
    return found


def _corners(texts: Sequence[str]) -> Corners:
    try:
        numbers = tuple(float(text) for text in texts)
    except ValueError:
        numbers = ()
    if not numbers or not np.isfinite(numbers).all():
        raise ValueError(f"a box needs four numbers, came {', '.join(texts)!r}")
    if max(numbers) < 2:
        raise ValueError(f"a box is in pixels, came shares of 0 to 1: {', '.join(texts)!r}")
    return numbers


def _area(annotation: Annotation) -> float:
    if annotation.corners is None:
        return -1.0
    x, y, other_x, other_y = annotation.corners
    return abs(other_x - x) * abs(other_y - y)


def _boxes(annotated: dict[str, Annotation], paths: pd.Series) -> pd.DataFrame:
    """The boxes in shares of the upright image, indexed as `paths`.

    An image that cannot be read, or whose box lies beside it, has none, which a warning tells.

    Raises:
        MissingData: a box was measured on another image than this.
    """
    boxes, lost, unsure = np.tile(NO_BOX, (len(paths), 1)), [], []
    pairs = tqdm(paths.items(), "reading boxes", len(paths), unit=" images", delay=2)
    for place, (name, path) in enumerate(pairs):
        if annotated[name].corners is None:
            continue
        try:
            boxes[place], is_sure = _box(annotated[name], path)
        except UnreadableImage:  # a run says what it does with these where it reads all images
            continue
        if not has_box(boxes[place]):
            lost.append(name)
        elif not is_sure:
            unsure.append(name)
    if unsure:
        print(
            f"warning: EXIF turns {len(unsure)} images ({summarize(unsure)}), and their boxes are "
            "taken to be of the turned ones"
        )
    if lost:
        print(f"warning: {len(lost)} boxes lie outside of their images: {summarize(lost)}")
    return box_table(paths.index, boxes)


def _box(annotation: Annotation, path: Path) -> tuple[np.ndarray, bool]:
    """The box in shares of the upright image, and whether its sides tell that it is of that one.

    Where EXIF turns an image, it may have been measured on the image as it is stored.
    """
    upright, orientation = read_orientation(path)
    corners, measured = np.array(annotation.corners), annotation.size or upright
    box, stored = from_pixels(corners, *measured), Size(upright.height, upright.width)
    ends = corners.reshape(2, 2).max(axis=0)
    lies = 5 <= orientation <= 8
    if annotation.size is None and (ends > np.array(upright) * (1 + BEYOND)).any():
        was = f"ends at {ends[0]:g}, {ends[1]:g}: it was measured on another size or side"
    elif _is_like(measured, upright):
        tells = lies and annotation.size is not None and not _is_like(stored, upright)
        return box, tells or not 2 <= orientation <= 8
    elif lies and _is_like(measured, stored):
        return _turned(box, orientation), True
    else:
        was = f"was measured on {measured.width} × {measured.height}, which is no scale of it"
    raise MissingData(f"{path} is {upright.width} × {upright.height}, its box {was}: mend the box")


def _is_like(one: Size, other: Size) -> bool:
    """Whether one is the other scaled, as far as whole pixels allow."""
    return abs(one.width * other.height - one.height * other.width) <= max(*one, *other)


def _turned(box: np.ndarray, orientation: int) -> np.ndarray:
    """A box of the image on its side, as programs that heed no EXIF show it, in the upright one."""
    turned = box[[1, 0, 3, 2]]
    if orientation in (6, 7):
        turned[[0, 2]] = 1 - turned[[0, 2]]
    if orientation in (7, 8):
        turned[[1, 3]] = 1 - turned[[1, 3]]
    return tidy(turned)


def _images(folder: Path) -> dict[str, Path]:
    """The image files by name without ending; a .jpg goes before another ending."""
    files = images_in(subfolder(folder, "images/images", "images"))
    images = {path.stem: path for path in files}
    return images | {path.stem: path for path in files if path.suffix.lower() == ".jpg"}


def _path(images: dict[str, Path], name: str) -> Path:
    """The path of an annotated image; `podium check` names one that is not there."""
    if name in images:
        return images[name]
    return next(iter(images.values()), Path("images")).parent / f"{name}.jpg"


def _annotations(folder: Path) -> Path:
    nested = (folder / "annotations/annotations", folder / "annotations")
    return next((path for path in nested if path.is_dir()), folder)


def _list(folder: Path) -> Path | None:
    """The CSV of images and boxes, where there is no trainval.txt: beside that, any may lie."""
    annotations = _annotations(folder)
    if (annotations / "trainval.txt").is_file():
        return None
    lists = sorted(path for place in {folder, annotations} for path in place.glob("[!.]*.csv"))
    if len(lists) > 1:
        raise MissingData(f"{folder}: expected one CSV of boxes, came {summarize(lists)}")
    return lists[0] if lists else None


def _read_split(path: Path) -> list[list[str]]:
    """The words of each line of trainval.txt or test.txt, without empty lines and comments.

    Raises:
        MissingData: there is no such file.
    """
    if not path.is_file():
        raise MissingData(f"{path} is missing; unpack the download again")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if line.strip() and not line.startswith("#")]
