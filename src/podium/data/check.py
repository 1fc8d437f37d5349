"""Every image read before hours of training: which are broken, and which are near-copies."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from podium.competitions import Competition
from podium.data.copies import what_copies_bring
from podium.data.near_duplicates import THUMBNAIL_SIDE, fingerprint, near_duplicate_groups
from podium.files.image_io import UnreadableImage, decode_sized, read_bytes
from podium.text import single_line, summarize

SHOWN = 6  # of a group of near-copies
TYPES = {"problem": str, "width": "int64", "height": "int64", "thumbnail": object, "small": bool}
UNREADABLE = {"width": 0, "height": 0, "thumbnail": None, "small": False}


def check_images(paths: pd.Series) -> pd.DataFrame:
    """Decode every image once, on all cores.

    Args:
        paths: image files, indexed by id.

    Returns:
        Indexed as `paths`. problem: str, "" or why the image is unreadable; width and height:
        int64 pixels; thumbnail and small: see `duplicates.Fingerprint`. An unreadable image has
        0 in place of numbers, and None.
    """
    with ThreadPoolExecutor() as pool:  # Pillow and OpenCV release the lock
        checks = pool.map(_check, paths)
        rows = list(tqdm(checks, "checking images", len(paths), unit=" images", delay=2))
    return pd.DataFrame(rows, paths.index, list(TYPES)).astype(TYPES)


def _check(path: Path | str) -> dict[str, Any]:
    try:
        # All bytes of a JPEG are gone through at an eighth of its size, too.
        image = decode_sized(read_bytes(Path(path)), str(path), THUMBNAIL_SIDE)
    except UnreadableImage as error:
        return {"problem": str(error), **UNREADABLE}
    return {"problem": "", **image.size._asdict(), **fingerprint(image.pixels)._asdict()}


@dataclass(frozen=True)
class CheckResult:
    """The findings of `podium check`."""

    train: int  # images
    test: int
    classes: dict[str, int]  # training images by class
    sizes: dict[str, int]  # images by "width×height", the commonest first
    broken: list[str]  # a line each, the file's path in it
    doubled: list[list[str]]  # groups of near-identical training images, "id (class)"
    contradictions: list[list[str]]  # those of several classes: one label must be wrong
    leaked: int  # test images that are near-copies of a training image
    left_out: str  # files among the images that are none, counted in a line
    decoding: str  # what copies of large images would bring, in a line; "" where little

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"{self.train} training and {self.test} test images; "
            + summarize([f"{count} of {size}" for size, count in self.sizes.items()]),
            "classes: " + ", ".join(f"{name} {count}" for name, count in self.classes.items()),
            *([self.left_out] if self.left_out else []),
            *([self.decoding] if self.decoding else []),
            f"broken or missing: {len(self.broken) or 'none'}",
            *(f"  {problem}" for problem in self.broken),
            f"groups of near-identical training images: {len(self.doubled) or 'none'}",
            *(f"  {_alike(names)}" for names in self.doubled),
            f"of these with several labels: {len(self.contradictions) or 'none'}",
            *(f"  {_alike(names)}" for names in self.contradictions),
            f"test images that are near-copies of training images: {self.leaked or 'none'}",
        ]
        return "\n".join(lines)


def _alike(names: list[str]) -> str:
    """A group of near-copies on a line; drawings on one background may be a thousand."""
    more = f" = … {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return " = ".join(names[:SHOWN]) + more


def check_competition(competition: Competition) -> CheckResult:
    """Read every image of a competition.

    Raises:
        MissingData: the data is not there, or not in its layout.
    """
    train, test = competition.read_training(), competition.read_test()
    table = pd.concat({"train": train, "test": test}, names=["part", "id"])
    checked = check_images(table["path"])
    readable = checked["problem"] == ""
    table = table[readable].reset_index()
    table["group"] = near_duplicate_groups(checked[readable])
    of_train, task = table["part"] == "train", competition.task
    truth = competition.truth(train["label"]).loc[table.loc[of_train, "id"]].to_numpy()
    table["name"] = "test"
    names = task.names(truth, competition.classes)
    table.loc[of_train, "name"] = [name or "no label" for name in names]
    table["name"] = (table["id"] + " (" + table["name"] + ")").map(single_line)
    labeled = table[of_train]
    groups = [group for _, group in labeled.groupby("group") if len(group) > 1]
    in_train = set(labeled["group"])
    counts = task.members(train["label"], len(competition.classes)).sum(axis=0, dtype=int)
    sizes = checked.loc[readable, "width"].astype(str) + "×" + checked["height"].astype(str)
    return CheckResult(
        train=len(train),
        test=len(test),
        classes=dict(zip(competition.classes, counts.tolist(), strict=True)),
        sizes=sizes.value_counts().to_dict(),
        broken=checked.loc[~readable, "problem"].tolist(),
        doubled=[group["name"].tolist() for group in groups],
        contradictions=[g["name"].tolist() for g in groups if g["label"].nunique() > 1],
        leaked=int(table.loc[table["part"] == "test", "group"].isin(in_train).sum()),
        left_out=competition.left_out(train, test),
        decoding=what_copies_bring(table["path"].tolist()),
    )
