"""Leaks: near-copies of training images planted among those of validation, and 25,000 checked.

With PODIUM_INPUT, copies are planted among the images of each competition that has some there.
Stored splits that leak are in tests/data/test_table.py.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from podium.competitions import COMPETITIONS, MissingData, get_competition
from podium.data.check import check_images
from podium.data.near_duplicates import near_duplicate_groups
from podium.data.splits import split_folds, split_shares
from podium.files.image_io import read_image, resize
from podium.runs.table import LeakingSplit, check_split
from podium.system import peak_memory
from robustness.figures import Figure, say

# Groups that are flagged among the real images, and are copies indeed.
LOOKED_AT = json.loads((Path(__file__).parent / "looked_at.json").read_text())
SHARES = [0.8, 0.2]
EACH = 5  # copies of each kind and seed, or 1 % of the validation images if that is more
SEEDS, SPLITS = 5, 20  # tables with other copies, and splits of each
COUNT, SIZE = 25_000, (500, 375)  # images, and their pixels, as dogs-vs-cats has them
QUICK_COUNT, QUICK_SIZE = 150, (160, 120)


class Kind(NamedTuple):
    """What is done to an image, one after the other."""

    crop: tuple[float, float] | None = None  # the least and the most off each side, as shares
    is_mirrored: bool = False
    scale: float | None = None
    quality: tuple[int, int] | None = None  # the least and the best of a JPEG


KINDS = {
    "half size": Kind(scale=0.5),
    "80 % size": Kind(scale=0.8),
    "JPEG 30": Kind(quality=(30, 30)),
    "JPEG 50": Kind(quality=(50, 50)),
    "JPEG 70": Kind(quality=(70, 70)),
    "mirrored": Kind(is_mirrored=True),
    "3 % off each side": Kind((0.03, 0.03)),
    "5 % off each side": Kind((0.05, 0.05)),
    "3 to 5 % off each side": Kind((0.03, 0.05)),
    "cropped, mirrored": Kind((0.03, 0.05), True),
    "half size, JPEG 50": Kind(scale=0.5, quality=(50, 50)),
    "all at once": Kind((0.03, 0.05), True, 0.8, (30, 70)),
}


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    return [
        *planted_figures(quick, scratch / "planted"),
        *time_figures(quick, scratch / "many"),
    ]


def planted_figures(quick: bool, scratch: Path) -> list[Figure]:
    """Which of the planted copies are found, and what else is flagged and refused."""
    sets = {} if quick else dict(real_images())
    seeds, splits = (1, 2) if quick else (SEEDS, SPLITS)
    figures, totals = [], Counter[str]()
    for name, (train, test) in (sets or {"made-up images": made_up_images(scratch)}).items():
        say(f"planting copies in {name}")
        every = pd.concat([train, test]).set_axis([*train.index, *test.index])
        checked = check_images(every["path"])
        groups = pd.Series(near_duplicate_groups(checked), every.index)
        flagged = (sorted(rows.index) for _, rows in groups.groupby(groups) if len(rows) > 1)
        alarms = [group for group in flagged if group not in LOOKED_AT.get(name, [])]
        totals += {"images": len(every), "joinable": seeds * len(every), "tables": seeds}
        totals["alarms"] += sum(map(len, alarms))
        before, found = groups[: len(train)], []
        for seed in range(seeds):
            table = plant(train, before, seed, scratch / "copies" / name / str(seed))
            copies, after = table.dropna(subset="kind"), table["group"].iloc[: len(train)]
            is_found = copies["group"].to_numpy() == after[copies["source"]].to_numpy()
            found.append(pd.Series(is_found, copies["kind"]))
            totals["joined"] += int((before.groupby(after).transform("nunique") > 1).sum())
            totals["refused"] += is_refused(table)
            totals["parted"] += sum(parted(table, number) for number in range(splits))
        every_copy = pd.concat(found)
        shares = every_copy.groupby(level=0, sort=False).mean()
        missed = [f"{kind} {share:.3f}" for kind, share in shares.items() if share < 1]
        note = "; ".join([f"of {len(every_copy)}", *missed])
        limit = "" if checked["small"].mean() > 0.5 else "≥ 0.95"
        what = f"{name}: planted copies found, share"
        figures.append(Figure(what, float(every_copy.mean()), limit, note))
    joined, alarms = totals["joined"] / totals["joinable"], totals["alarms"] / totals["images"]
    return [
        *figures,
        Figure("false alarms, share of images", alarms, "< 0.001", f"of {totals['images']}"),
        Figure("images joined by planted copies alone, share", joined, "< 0.001"),
        Figure("leaking splits that are refused", totals["refused"], f"= {totals['tables']}"),
        Figure("groups that straddle a split made with copies", totals["parted"], "= 0"),
    ]


def real_images() -> Iterator[tuple[str, tuple[pd.DataFrame, pd.DataFrame]]]:
    for name in COMPETITIONS:
        competition = get_competition(name)
        try:
            yield name, (competition.read_training(), competition.read_test())
        except MissingData:
            continue


def made_up_images(scratch: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    paths = write_made_up(scratch / "made-up", 150, 200, 150)
    ids = [f"{number}.jpg" for number in range(len(paths))]
    train = pd.DataFrame({"path": paths, "label": np.arange(len(paths)) % 3}, ids)
    return train, train.iloc[:0]


def plant(train: pd.DataFrame, before: pd.Series, seed: int, folder: Path) -> pd.DataFrame:
    """Add copies of training images to the validation images of a split.

    Args:
        before: groups of the training images.

    Returns:
        path, label, fold and group of all images; kind and source of the copies.
    """
    rng = np.random.default_rng(seed)
    fold = split_shares(train["label"], before, SHARES, seed)
    of_training = np.flatnonzero(fold != 0)
    each = max(EACH, round(0.01 * (fold == 0).sum() / len(KINDS)))
    kinds = (list(KINDS) * each)[: len(of_training)]
    sources = train.iloc[rng.choice(of_training, len(kinds), replace=False)]
    folder.mkdir(parents=True)
    paths = [folder / f"{number}.jpg" for number in range(len(kinds))]
    for kind, source, path in zip(kinds, sources["path"], paths, strict=True):
        write_copy(source, kind, path, rng)
    columns = {"path": paths, "label": sources["label"].to_numpy(), "fold": 0, "kind": kinds}
    copies = pd.DataFrame({**columns, "source": sources.index}, map(str, paths))
    table = pd.concat([train[["path", "label"]].assign(fold=fold), copies])
    table["group"] = near_duplicate_groups(check_images(table["path"]))
    return table


def is_refused(table: pd.DataFrame) -> bool:
    try:
        check_split(table)
    except LeakingSplit:
        return True
    return False


def parted(table: pd.DataFrame, seed: int) -> int:
    """Groups in several parts of two splits that are made with them."""
    labels, groups = table["label"], table["group"]
    splits = (
        split_shares(labels, groups, SHARES, seed),
        split_folds(labels, groups, 2 + seed % 4, seed),
    )
    return sum(int((split.groupby(groups).nunique() > 1).sum()) for split in splits)


def time_figures(quick: bool, scratch: Path) -> list[Figure]:
    """How long the check of many images takes, and what it finds among them."""
    count, size = (QUICK_COUNT, QUICK_SIZE) if quick else (COUNT, SIZE)
    paths = write_made_up(scratch, count, *size)
    rng = np.random.default_rng(0)
    sources = rng.choice(count, max(len(KINDS), count // 100), replace=False)
    for number, source in enumerate(sources):
        paths.append(scratch / f"copy-{number}.jpg")
        write_copy(paths[source], list(KINDS)[number % len(KINDS)], paths[-1], rng)
    clock = time.perf_counter()
    groups = near_duplicate_groups(check_images(pd.Series(paths)))
    seconds = time.perf_counter() - clock
    found = groups[count:] == groups[sources]
    flagged = count - len(np.unique(groups[:count]))
    what = f"{len(paths):,} JPEGs of {size[0]} × {size[1]} checked"
    return [
        Figure(f"{what}, s", seconds, "" if quick else "< 180"),
        # The sample runs in the process of the tests, which has held more.
        Figure(f"{what}: peak memory, GB", peak_memory() / 1e9, "" if quick else "< 2"),
        Figure(f"{what}: planted copies found, share", float(found.mean()), "≥ 0.95"),
        Figure(f"{what}: other images flagged, share", flagged / count, "< 0.001"),
    ]


def write_copy(source: Path, kind: str, path: Path, rng: np.random.Generator) -> None:
    image, change = read_image(source), KINDS[kind]
    if change.crop:
        height, width = image.shape[:2]
        above, below = np.rint(rng.uniform(*change.crop, 2) * height).astype(int)
        left, right = np.rint(rng.uniform(*change.crop, 2) * width).astype(int)
        image = image[above : height - below, left : width - right]
    if change.is_mirrored:
        image = image[:, ::-1]
    if change.scale:
        image = resize(image, *(max(1, round(side * change.scale)) for side in image.shape[:2]))
    if change.quality:
        least, best = change.quality
        data = np.frombuffer(jpeg(image, int(rng.integers(least, best + 1))), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    path.write_bytes(jpeg(image, 95))


def jpeg(image: np.ndarray, quality: int) -> bytes:
    bgr = np.ascontiguousarray(image[..., ::-1])
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def write_made_up(folder: Path, count: int, width: int, height: int) -> list[Path]:
    """So many JPEGs of noise at all scales, as nature has it: folder/0.jpg and so on."""

    def write(number: int) -> Path:
        rng = np.random.default_rng([8, number])
        image = np.zeros((height, width, 3), dtype=np.float32)
        for cells in (3, 6, 12, 24, 48, 96):
            noise = rng.normal(size=(cells, cells, 3)).astype(np.float32) / cells**0.7
            image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
        path = folder / f"{number}.jpg"
        path.write_bytes(jpeg(((image - image.min()) / np.ptp(image) * 255).astype(np.uint8), 90))
        return path

    folder.mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        return list(pool.map(write, range(count)))
