"""A folder of images looked at: its layout, what was found in it, and what can only be guessed.

The result holds the declaration of a competition, as competition.toml has it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from podium.competitions.csv_files import MissingData, as_table, read_rows
from podium.competitions.image_folders import images_in
from podium.competitions.inspect_columns import (
    ENOUGH,
    Csv,
    Labels,
    in_order,
    read_answer,
    read_labels,
)
from podium.competitions.inspect_folders import Folders, keys_of
from podium.competitions.inspection import Choices, Inspection
from podium.competitions.tasks import TASKS
from podium.files.image_io import UnreadableImage, read_orientation
from podium.text import summarize

TRAIN = re.compile(r"(^|[_\- ])train", re.I)
TEST = re.compile(r"(^|[_\- ])(test|pred|eval|unlabell?ed)", re.I)
VALIDATION = re.compile(r"(^|[_\- ])val(id(ation)?)?$", re.I)
SAMPLE = re.compile(r"submission", re.I)
PATTERN = re.compile(r"^(.*?[^\d._-])[._-]*\d+\.\w+$")  # cat.123.jpg, great_dane_7.jpg
MEASURED = 200  # images whose size is read
MANY = 12  # classes that are listed with their counts


def inspect(folder: Path, choices: Choices) -> Inspection:
    """Look at a dataset: class folders, or a CSV beside its images.

    Raises:
        MissingData: there are no images, or not what an option names.
        ValueError: what cannot be guessed, with the option that says it.
    """
    if choices.task not in (None, *TASKS):
        raise ValueError(f"--task {choices.task}: expected one of {', '.join(TASKS)}")
    if not folder.is_dir():
        raise MissingData(f"{folder} is no folder: give the one that the images are in by --data")
    images = images_in(folder)
    if not images:
        raise MissingData(f"{folder}: no images in it or below: give their folder by --data")
    return _Look(folder, images, choices).inspect()


class _Look(Folders):
    """The folder, its images and the user's choices, which every step needs."""

    def __init__(self, folder: Path, images: list[Path], choices: Choices) -> None:
        super().__init__(folder, images)
        self.choices, self.seen = choices, Inspection()

    def inspect(self) -> Inspection:
        sample = self.sample()
        test = self.test_folder(sample)
        labeled = [path for path in self.images if not (test and path.is_relative_to(test))]
        csv = self.labels_csv(labeled or self.images)
        if csv is None:
            place, labels = self.class_folders(labeled)
            self.seen.images = sum(labels.counts.values())
        else:
            ids = set(csv.rows[csv.id])
            place = self.folder_of(ids, TRAIN)
            self.seen.find("layout", f"{csv.name} and images in {self.name(place)}")
            if missing := sorted(ids - keys_of(self.images)):
                told = f"{len(missing):,} of {len(ids):,} in {csv.name} ({summarize(missing)})"
                self.seen.find("no image of", told)
            labels = read_labels(csv, sample, self.choices, self.seen)
            self.seen.images = len(csv.rows)
            if "fold" in labels.train:
                self.seen.folds = csv.rows[labels.train["fold"]].nunique()
        self.seen.rarest = min(labels.counts.values())
        self.describe(labeled or self.images, labels, place, test)
        with_ending = sample is not None and bool(
            set(sample.rows[sample.id]) & {path.name for path in self.images}
        )
        classes, metric, form = read_answer(sample, labels, with_ending, self.choices, self.seen)
        if labels.task == "grades":
            self.seen.guess("order", " < ".join(classes), "`classes` of competition.toml")
        train = {"images": self.relative(place), **labels.train}
        declared = {"task": labels.task, "classes": classes, "metric": metric, "train": train}
        if test is not None:
            declared |= {"test": {"images": self.relative(test)}, "submission": form}
        self.seen.declaration = declared
        return self.seen

    def sample(self) -> Csv | None:
        """The sample submission: as told, or by its name."""
        told = self.choices.sample
        named = [path for path in sorted(self.root.glob("*.csv")) if SAMPLE.search(path.name)]
        if not (told or named):
            return None
        path = self.told("--sample", told) if told else named[0]
        rows = as_table(path, read_rows(path))
        return Csv(self.relative(path), rows, rows.columns[0])

    def test_folder(self, sample: Csv | None) -> Path | None:
        """The folder of the images to predict: as told, that of the sample's ids, or by name."""
        if self.choices.test is not None:
            told = self.told("--test", self.choices.test)
            if not self.images_by_folder(told):
                raise MissingData(f"--test {self.choices.test}: no images in {told}")
            return told
        ids = set(sample.rows[sample.id]) if sample else set()
        if ids and len(ids & keys_of(self.images)) > ENOUGH * len(ids):
            chosen = self.folder_of(ids, TEST)
        else:
            names = [name for name in sorted(self.images_by_folder(self.root)) if TEST.search(name)]
            if not names:
                return None
            # Where several are called so, one without class folders: intel's seg_test has labels.
            places = [self.single(self.root / name) for name in names]
            chosen = next((one for one in places if "" in self.images_by_folder(one)), places[0])
        self.seen.guess("to predict", self.name(chosen), "--test FOLDER")
        return chosen

    def labels_csv(self, labeled: Sequence[Path]) -> Csv | None:
        """The CSV of labels: as told, or the only one that names images; None: class folders."""
        choices = self.choices
        if choices.csv is not None:
            path = self.told("--csv", choices.csv)
            return Csv.read(path, self.relative(path), labeled, choices.id)
        found, lacking = [], None
        for path in [*sorted(self.root.glob("*.csv")), *sorted(self.root.glob("*/*.csv"))]:
            if SAMPLE.search(path.name) or TEST.search(path.name):
                continue
            try:
                found.append(Csv.read(path, self.relative(path), labeled, choices.id))
            except ValueError as error:  # no CSV, one of something else, or without that column
                lacking = error if type(error) is MissingData else lacking
        found = [csv for csv in found if len(csv.rows.columns) > 1]
        if not found:
            if lacking:
                raise lacking
            for key in ("id", "label", "group", "fold"):
                if getattr(choices, key):
                    raise ValueError(
                        f"--{key} names a column, and no CSV names images: give it by --csv"
                    )
            return None
        if len(found) > 1:
            names = summarize([csv.name for csv in found])
            found = [csv for csv in found if TRAIN.search(Path(csv.name).stem)]
            if len(found) != 1:
                raise ValueError(f"several CSVs name images ({names}): say which one by --csv")
        csv = found[0]
        self.seen.guess("CSV of labels", f"{csv.name}, ids in {csv.id}", "--csv, --id")
        return csv

    def class_folders(self, labeled: Sequence[Path]) -> tuple[Path, Labels]:
        """The folder of class folders, and the classes.

        Raises:
            ValueError: there are none, or the task needs a CSV.
        """
        if self.choices.task == "labels":
            raise ValueError(
                "--task labels: in folders an image has one class: give a CSV by --csv"
            )
        names = [name for name in sorted(self.images_by_folder(self.root)) if TRAIN.search(name)]
        place = self.single(self.root / names[0] if names else self.root)
        counts = self.images_by_folder(place, labeled)
        classes = [
            name
            for name in counts
            if name and not (place == self.root and (TEST.search(name) or VALIDATION.search(name)))
        ]
        task = self.choices.task or "classes"
        if len(classes) < 2:
            return place, self.classes_of_names(place, labeled, task)
        if counts[""]:
            self.seen.find("no class of", f"{counts['']:,} images beside the classes' folders")
        self.seen.find("layout", f"{self.name(place)}: a folder for each class")
        return place, Labels(task, in_order(classes), {name: counts[name] for name in classes}, {})

    def classes_of_names(self, place: Path, labeled: Sequence[Path], task: str) -> Labels:
        """The classes that names of files begin with, as cat.123.jpg.

        Raises:
            ValueError: they do not.
        """
        names = [PATTERN.search(path.name) for path in labeled if path.is_relative_to(place)]
        counts = Counter(found[1] for found in names if found)
        if not 2 <= len(counts) <= len(names) / 2 or not all(names):
            raise ValueError(
                f"{self.folder}: found no folder for each of several classes, and no CSV of "
                "labels: give one by --csv, or put the images of each class into a folder of its "
                "name"
            )
        self.seen.find("layout", f"{self.name(place)}: files called after their class and a number")
        self.seen.guess("pattern", PATTERN.pattern, "`pattern` of competition.toml")
        return Labels(task, in_order(counts), dict(counts), {"pattern": PATTERN.pattern})

    def describe(
        self, labeled: Sequence[Path], labels: Labels, place: Path, test: Path | None
    ) -> None:
        """Note classes with counts, extensions, sizes (of a few), and folders that are not used."""
        seen = self.seen
        named = [f"{name} {labels.counts[name]:,}" for name in labels.classes]
        seen.find("classes", f"{len(named)}: {summarize(named, most=MANY)}")
        endings = Counter(path.suffix.lower() or "no extension" for path in self.images)
        listed = summarize([f"{name} {count:,}" for name, count in endings.most_common()], most=5)
        count = f"{sum(path.is_relative_to(test) for path in self.images):,}" if test else "none"
        seen.find("images", f"{seen.images:,} with a class, {count} to predict; {listed}")
        sizes = []
        for path in labeled[:: max(1, len(labeled) // MEASURED)]:
            with suppress(UnreadableImage):  # `podium check` names them all
                sizes.append(read_orientation(path)[0])
        if sizes:
            sides = sorted(min(size) for size in sizes)
            seen.shorter_side = sides[len(sides) // 2]
            kinds = Counter(f"{size.width}×{size.height}" for size in sizes).most_common()
            listed = summarize([f"{kind} ({count})" for kind, count in kinds])
            seen.find("sizes", f"{listed} of {len(sizes)} that were measured")
        used = [one for one in (place, test) if one is not None]
        beside = [self.root / name for name in sorted(self.images_by_folder(self.root)) if name]
        unused = [
            self.name(path)
            for path in beside
            if not any(one.is_relative_to(path) for one in used)
            and (place != self.root or not (labels.train or path.name in labels.classes))
        ]
        if unused:
            told = f"{summarize(unused)}: the folds are made of {self.name(place)}"
            seen.find("not used", told)
