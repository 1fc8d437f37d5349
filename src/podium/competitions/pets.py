"""Oxford-IIIT Pet: cats and dogs, and a box around each one's head.

The classes are the two species and not the 37 breeds: the boxes' files name no breed, a network of
dogs-vs-cats fits as it is, and a part of the set with three breeds is as good as the whole. Boxes
come from Pascal VOC, or from a plain list. Images without a box train the class alone.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from podium.competitions.base import (
    Competition,
    MissingData,
    argmax_labels,
    images_in,
    subfolder,
    test_table,
    training_table,
)
from podium.competitions.boxes import NO_BOX, box_table, from_pixels, has_box
from podium.competitions.csv_files import other_separator, read_rows, shown
from podium.competitions.metrics import Accuracy
from podium.files.image_io import Size, UnreadableImage, read_size
from podium.text import summarize

SPECIES = {"1": "cat", "2": "dog"}  # as trainval.txt counts them
LIST_COLUMNS = ("file", "x1", "y1", "x2", "y2", "class")

Corners = tuple[float, ...]  # four, in pixels counted from 1


@dataclass(frozen=True)
class Annotation:
    """The class of an image, and the box in it."""

    file: str
    kind: str  # the name of its class
    corners: Corners | None  # of the largest head, or of none
    sides: tuple[int, int] = (0, 0)  # width and height that the corners were measured in


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
        images = _images(folder)
        annotated = self._listed(folder) or self._unpacked(_annotations(folder))
        test = _annotations(folder) / "test.txt"
        tested = _read_split(test) if test.is_file() else []
        both = annotated.keys() & {words[0] for words in tested}
        if both:
            raise MissingData(
                f"{len(both)} training images are in {test} too, such as {min(both)}: what is "
                "tested must not be trained on"
            )
        rows = [
            (name, _path(images, one.file), self.classes.index(one.kind))
            for name, one in annotated.items()
        ]
        table = training_table(rows)
        return table.join(_boxes(list(annotated.values()), table["path"]))

    def test_images(self, folder: Path) -> pd.DataFrame:
        """The images of test.txt; beside a list and without test.txt, those not in the list."""
        images, test = _images(folder), _annotations(folder) / "test.txt"
        listed = self._listed(folder)
        if listed and not test.is_file():
            names = [name for name in images if name not in listed]
        else:
            names = [words[0] for words in _read_split(test)] if images else []
        return test_table(names, [_path(images, f"{name}.jpg") for name in names])

    def submission(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        names = [self.classes[number] for number in argmax_labels(probabilities)]
        return pd.DataFrame({"id": probabilities.index, "label": pd.Series(names, dtype=str)})

    def _listed(self, folder: Path) -> dict[str, Annotation]:
        """The annotations of a list, by id; none where there is no list.

        Beside the files that the set itself unpacks, any CSV may lie.
        """
        annotations = _annotations(folder)
        if (annotations / "trainval.txt").is_file():
            return {}
        lists = sorted(path for place in {folder, annotations} for path in place.glob("[!.]*.csv"))
        if len(lists) > 1:
            raise MissingData(
                f"{folder}: expected one list of images and boxes, came {len(lists)}: "
                + ", ".join(str(path.relative_to(folder)) for path in lists)
            )
        return read_list(lists[0], self.classes) if lists else {}

    def _unpacked(self, annotations: Path) -> dict[str, Annotation]:
        """The annotations of trainval.txt and xmls/, by id."""
        path, found = annotations / "trainval.txt", {}
        for words in _read_split(path):
            species = words[2] if len(words) > 2 else "nothing"
            if species not in SPECIES:
                raise MissingData(
                    f"{path}: expected lines like 'Abyssinian_1 1 1 1', the third word 1 for a cat "
                    f"or 2 for a dog, came {' '.join(words)!r}; mend the line"
                )
            found[words[0]] = read_voc(annotations / "xmls", words[0], SPECIES[species])
        return found


def read_voc(folder: Path, name: str, kind: str) -> Annotation:
    """Read `<name>.xml`; without the file an image has a class and no box.

    The file's own name decides which image it is of, not the one that is written in it, and
    `kind` what the image shows. Of several heads the largest of that kind is taken, or the
    largest of all where none is called so.

    Raises:
        MissingData: it is no XML, or a box in it has not four numbers.
    """
    path = folder / f"{name}.xml"
    if not path.is_file():
        return Annotation(f"{name}.jpg", kind, None)
    heads = []
    try:
        root = ElementTree.fromstring(path.read_bytes())
        for head in root.iter("object"):
            for box in head.iter("bndbox"):
                texts = [box.findtext(tag) or "" for tag in ("xmin", "ymin", "xmax", "ymax")]
                heads.append(((head.findtext("name") or "").strip().lower(), _corners(texts)))
        sides = [int(root.findtext(f"size/{side}") or 0) for side in ("width", "height")]
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise MissingData(
            f"{path} is not in Pascal VOC: {error}. Mend it, or delete it to train on the image's "
            "class alone"
        ) from error
    of_kind = [corners for named, corners in heads if named == kind]
    largest = max(of_kind or [corners for _, corners in heads], key=_area, default=None)
    return Annotation(f"{name}.jpg", kind, largest, (sides[0], sides[1]))


def _corners(texts: Sequence[str]) -> Corners:
    try:
        numbers = tuple(float(text) for text in texts)
    except ValueError:
        numbers = ()
    if not numbers or not np.isfinite(numbers).all():
        raise ValueError(f"a box needs four numbers, came {', '.join(texts)!r}")
    return numbers


def _area(corners: Corners | None) -> float:
    if corners is None:
        return -1.0
    return abs(corners[2] - corners[0]) * abs(corners[3] - corners[1])


def read_list(path: Path, classes: Sequence[str]) -> dict[str, Annotation]:
    """The annotations of a CSV `file,x1,y1,x2,y2,class`, by file name without ending.

    Its first line may name the columns, in any order. A row without coordinates is an image
    without a box, one without a class no training image. Of several rows of a file the one with
    the largest box counts.

    Raises:
        MissingData: other columns, numbers that are none, or unknown classes.
    """
    rows = [(line, row) for line, row in read_rows(path) if any(map(str.strip, row))]
    if not rows:
        raise MissingData(f"{path} has no rows: write one for each image, or delete the file")
    columns = [cell.strip().lower() for cell in rows[0][1]]
    if not set(LIST_COLUMNS) <= set(columns):
        columns, rows = list(LIST_COLUMNS), [(0, list(LIST_COLUMNS)), *rows]
    found: dict[str, Annotation] = {}
    for line, row in rows[1:]:
        where = f"{path}, line {line}"
        if len(row) != len(columns):
            raise MissingData(
                f"{where}: expected {','.join(columns)}, came {shown(row)}"
                f"{other_separator(row) or '; mend the line'}"
            )
        cells = dict(zip(columns, map(str.strip, row), strict=True))
        file, *numbers, kind = (cells[column] for column in LIST_COLUMNS)
        if not kind:
            continue
        if kind.lower() not in classes:
            raise MissingData(
                f"{where}: the class must be {' or '.join(classes)}, came {kind!r}; mend it, or "
                "leave it empty"
            )
        try:
            corners = _corners(numbers) if any(numbers) else None
        except ValueError as error:
            raise MissingData(f"{where}: {error}; mend them, or leave all four empty") from error
        new = Annotation(file.replace("\\", "/"), kind.lower(), corners)
        name = Path(new.file).stem
        old = found.setdefault(name, new)
        if old.file != new.file:
            raise MissingData(
                f"{where}: {new.file} and {old.file} would have the same id {name}: rename one"
            )
        found[name] = max(old, new, key=lambda annotation: _area(annotation.corners))
    return found


def _boxes(annotated: Sequence[Annotation], paths: pd.Series) -> pd.DataFrame:
    """The boxes in shares of the upright image, indexed as `paths`.

    An image that cannot be read, or whose box lies beside it, has none, which a warning tells.
    """
    with ThreadPoolExecutor() as pool:
        pairs = pool.map(_box, annotated, paths)
        boxes = list(tqdm(pairs, "reading boxes", len(paths), unit=" images", delay=2))
    table = box_table(paths.index, np.array(boxes).reshape(-1, 4))
    marked = np.array([one.corners is not None for one in annotated], bool)
    there = np.array([path.is_file() for path in paths], bool)
    lost = paths.index[marked & there & ~has_box(table.to_numpy())]
    if len(lost):
        print(
            f"warning: {len(lost)} boxes lie outside of their images, or these cannot be read: "
            f"{summarize(lost)}. They train the class alone"
        )
    return table


def _box(annotation: Annotation, path: Path) -> np.ndarray:
    """float32 (4,), NaN where there is none."""
    if annotation.corners is None:
        return NO_BOX
    try:
        size = read_size(path)
    except UnreadableImage:  # a run says what it does with these where it reads all images
        return NO_BOX
    corners = np.array(annotation.corners)
    if annotation.sides == size.stored != (size.width, size.height):
        return _turned(from_pixels(corners, *size.stored), size)
    return from_pixels(corners, size.width, size.height)


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


def _images(folder: Path) -> dict[str, Path]:
    """The image files by name without ending; a .jpg goes before another ending."""
    files = images_in(subfolder(folder, "images/images", "images"))
    jpegs = {path.stem: path for path in files if path.suffix.lower() == ".jpg"}
    return {path.stem: jpegs.get(path.stem, path) for path in files}


def _path(images: dict[str, Path], file: str) -> Path:
    """The path of an annotated file; `podium check` names one that is not there."""
    name = Path(file)
    if name.stem in images:
        return images[name.stem]
    return next(iter(images.values()), Path("images")).parent / name.name


def _annotations(folder: Path) -> Path:
    nested = (folder / "annotations/annotations", folder / "annotations")
    return next((path for path in nested if path.is_dir()), folder)


def _read_split(path: Path) -> list[list[str]]:
    """The words of each line of trainval.txt or test.txt, without empty lines and comments.

    Raises:
        MissingData: there is no such file, or it is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise MissingData(f"{path} is missing; unpack the download again") from error
    except UnicodeDecodeError as error:
        raise MissingData(
            f"{path} is not a text in UTF-8: unpack the download again, or save it as UTF-8"
        ) from error
    return [line.split() for line in lines if line.strip() and not line.startswith("#")]
