"""Oxford-IIIT Pet: cats and dogs, and a box around each one's head.

The classes are the two species and not the 37 breeds: the solution to answer to tells cats from
dogs, the boxes' files name no breed, a network of dogs-vs-cats fits as it is, and a part of the
set with three breeds is as good as the whole. Images without a box train the class alone.
"""

from pathlib import Path

import pandas as pd

from podium.competitions.base import (
    Competition,
    MissingData,
    argmax_labels,
    images_in,
    subfolder,
    test_table,
    training_table,
)
from podium.competitions.metrics import Accuracy
from podium.competitions.pet_boxes import Annotation, begins_as_list, boxes_of, read_list, read_voc

SPECIES = {"1": "cat", "2": "dog"}  # as trainval.txt counts them


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
        listed = self._listed(folder)
        annotated = listed or self._unpacked(folder)
        tested = _annotations(folder) / "test.txt"
        both = annotated.keys() & _names(tested) if tested.is_file() or not listed else set()
        if both:
            raise MissingData(
                f"{len(both)} training images are in {tested} too, such as {min(both)}: what is "
                "tested must not be trained on"
            )
        rows = [
            (name, _path(images, one.file), self.classes.index(one.kind))
            for name, one in annotated.items()
        ]
        table = training_table(rows)
        return table.join(boxes_of(list(annotated.values()), table["path"]))

    def test_images(self, folder: Path) -> pd.DataFrame:
        """The images of test.txt; beside a list and without test.txt, those not in the list."""
        images = _images(folder)
        if not images:
            return test_table([], [])
        listed = self._listed(folder)
        if listed and not (_annotations(folder) / "test.txt").is_file():
            names = [name for name in images if name not in listed]
        else:
            names = _names(_annotations(folder) / "test.txt")
        return test_table(names, [_path(images, f"{name}.jpg") for name in names])

    def submission(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        names = [self.classes[number] for number in argmax_labels(probabilities)]
        return pd.DataFrame({"id": probabilities.index, "label": pd.Series(names, dtype=str)})

    def _listed(self, folder: Path) -> dict[str, Annotation]:
        """What a list `file,x1,y1,x2,y2,class` says, by id; nothing where there is none.

        It goes before the files that the set itself unpacks. Beside these other CSVs may lie.
        """
        annotations = _annotations(folder)
        lists = sorted(path for place in {folder, annotations} for path in place.glob("[!.]*.csv"))
        if (annotations / "trainval.txt").is_file():
            lists = [path for path in lists if begins_as_list(path, self.classes)]
        if len(lists) > 1:
            raise MissingData(
                f"{folder}: expected one list of images and boxes, came {len(lists)}: "
                + ", ".join(str(path.relative_to(folder)) for path in lists)
            )
        return read_list(lists[0], self.classes) if lists else {}

    def _unpacked(self, folder: Path) -> dict[str, Annotation]:
        """What trainval.txt and the files of xmls/ say, by id."""
        place = _annotations(folder)
        path = place / "trainval.txt"
        kinds = {}
        for words in _read_split(path):
            species = words[2] if len(words) > 2 else "nothing"
            if species not in SPECIES:
                raise MissingData(
                    f"{path}: expected lines like 'Abyssinian_1 1 1 1', the third word 1 for a cat "
                    f"or 2 for a dog, came {' '.join(words)!r}; mend the line"
                )
            kinds[words[0]] = SPECIES[species]
        return {name: read_voc(place / "xmls", name, kind) for name, kind in kinds.items()}


def _images(folder: Path) -> dict[str, Path]:
    """The image files by name without ending; a .jpg goes before another ending."""
    files = images_in(subfolder(folder, "images/images", "images"))
    by_name: dict[str, Path] = {}
    for path in sorted(files, key=lambda path: path.suffix.lower() != ".jpg"):
        by_name.setdefault(path.stem, path)
    return {path.stem: by_name[path.stem] for path in files}


def _path(images: dict[str, Path], file: str) -> Path:
    """Where a file of the annotations is; a place where none is, for `podium check` to name."""
    name = Path(file)
    if name.stem in images:
        return images[name.stem]
    return next(iter(images.values()), Path("images")).parent / name.name


def _annotations(folder: Path) -> Path:
    for name in ("annotations/annotations", "annotations"):
        if (folder / name).is_dir():
            return folder / name
    return folder


def _names(split: Path) -> list[str]:
    return [words[0] for words in _read_split(split)]


def _read_split(path: Path) -> list[list[str]]:
    """The words of each line of trainval.txt or test.txt, without empty lines and comments.

    Raises:
        MissingData: there is no such file, or a name in it leads elsewhere.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise MissingData(f"{path} is missing; unpack the download again") from error
    except UnicodeDecodeError as error:
        raise MissingData(
            f"{path} is not a text in UTF-8: unpack the download again, or save it as UTF-8"
        ) from error
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    for name in (words[0] for words in rows):
        if Path(name).name != name:
            raise MissingData(
                f"{path}: {name!r} is a path, expected the name of an image; mend the line"
            )
    return rows
