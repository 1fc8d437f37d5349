"""Near-copies of training images planted among the validation images: which are found."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from podium.competitions import COMPETITIONS, MissingData, get_competition
from podium.data.check import check_images
from podium.data.near_duplicates import SMALL_SIDE, near_duplicate_groups
from podium.data.splits import split_folds, split_shares
from podium.files.image_io import read_image
from podium.runs.table import LeakingSplit, check_split
from torture.copies import KINDS, write_copy, write_made_up
from torture.figures import ROOT, Figure, say

# Groups that are flagged among the real images, by what they turned out to be when looked at.
LOOKED_AT = ROOT / "torture" / "looked_at.json"
SHARES = [0.8, 0.2]
EACH = 5  # copies of each kind and seed, or 1 % of the validation images if that is more
SEEDS = 10  # each with other copies
SPLITS = 20  # of each table, with its copies


@dataclass(frozen=True)
class Images:
    """What copies are planted in: path and label by id."""

    name: str
    train: pd.DataFrame
    test: pd.DataFrame  # only looked through for false alarms


@dataclass
class Planted:
    """What came of it in one set."""

    name: str
    small: bool  # the images
    images: int  # that were there without planting
    found: pd.DataFrame  # kind and found, a row a copy
    drawn_in: int  # images joined with others by nothing but planted copies, all seeds
    seeds: int
    refused: int  # leaking splits
    parted: int  # groups in several parts of a split, of all splits
    splits: int
    alarms: list[list[str]]  # groups flagged without planting that are no copies
    copies: int  # groups that are


def planted_figures(quick: bool, scratch: Path) -> list[Figure]:
    sets = [made_up_images(scratch)] if quick else [*real_images()]
    if not sets:
        say("PODIUM_INPUT has no images of a competition: made-up ones are planted in")
        sets = [made_up_images(scratch)]
    results = []
    for images in sets:
        say(f"planting copies in {images.name}")
        results.append(plant(images, 1 if quick else 5, 2 if quick else SPLITS, scratch / "copies"))
    return [figure for result in results for figure in of_set(result)] + of_all(results)


def real_images() -> Iterator[Images]:
    for name in COMPETITIONS:
        competition = get_competition(name)
        try:
            yield Images(name, competition.read_training(), competition.read_test())
        except MissingData:
            continue


def made_up_images(scratch: Path) -> Images:
    paths = write_made_up(scratch / "made-up", 150, 200, 150)
    ids = [f"{number}.jpg" for number in range(len(paths))]
    train = pd.DataFrame({"path": paths, "label": np.arange(len(paths)) % 3}, ids)
    return Images("made-up images", train, train.iloc[:0])


def plant(images: Images, seeds: int, splits: int, scratch: Path) -> Planted:
    train = images.train
    every = pd.concat([train, images.test]).set_axis([*train.index, *images.test.index])
    checked = check_images(every["path"])
    flagged = pd.Series(near_duplicate_groups(checked), every.index)
    copies, alarms = judge(images.name, flagged)
    result = Planted(
        images.name,
        bool(checked["small"].mean() > 0.5),
        len(every),
        pd.DataFrame(),
        drawn_in=0,
        seeds=seeds,
        refused=0,
        parted=0,
        splits=0,
        alarms=alarms,
        copies=copies,
    )
    for seed in range(seeds):
        place = scratch / images.name / str(seed)
        table = plant_once(train, flagged.iloc[: len(train)], seed, place, result)
        for number in range(splits):
            split_again(table, number, result)
    return result


def plant_once(
    train: pd.DataFrame, before: pd.Series, seed: int, folder: Path, result: Planted
) -> pd.DataFrame:
    """Add copies of training images to the validation images of a split, and check it.

    Args:
        before: groups of the training images.

    Returns:
        path, label, fold and group of all images.
    """
    rng = np.random.default_rng(seed)
    fold = split_shares(train["label"], before, SHARES, seed)
    of_training = np.flatnonzero(fold != 0)
    each = max(EACH, round(0.01 * (fold == 0).sum() / len(KINDS)))
    kinds = np.array(list(KINDS) * each)[: len(of_training)]
    sources = train.iloc[rng.choice(of_training, len(kinds), replace=False)]
    folder.mkdir(parents=True)
    paths = [folder / f"{number}.jpg" for number in range(len(kinds))]
    for kind, source, path in zip(kinds, sources["path"], paths, strict=True):
        write_copy(read_image(source), kind, path, rng)
    planted = pd.DataFrame({"path": paths, "label": sources["label"].to_numpy()}, map(str, paths))
    table = pd.concat([train[["path", "label"]], planted])
    table["fold"] = [*fold, *[0] * len(planted)]

    table["group"] = near_duplicate_groups(check_images(table["path"]))
    found = table.loc[planted.index, "group"].to_numpy() == table.loc[sources.index, "group"]
    rows = pd.DataFrame({"kind": kinds, "found": found.to_numpy()})
    result.found = pd.concat([result.found, rows], ignore_index=True)
    after = table["group"].iloc[: len(train)]
    result.drawn_in += int((before.groupby(after).transform("nunique") > 1).sum())
    try:
        check_split(table)
    except LeakingSplit:
        result.refused += 1
    return table


def split_again(table: pd.DataFrame, seed: int, result: Planted) -> None:
    labels, groups = table["label"], table["group"]
    shared = split_shares(labels, groups, SHARES, seed)
    folded = split_folds(labels, groups, 2 + seed % 4, seed)
    for split in (shared, folded):
        result.parted += int((split.groupby(groups).nunique() > 1).sum())
        result.splits += 1


def judge(name: str, groups: pd.Series) -> tuple[int, list[list[str]]]:
    """Of the groups that are flagged without planting: how many are copies, and the others."""
    looked_at = json.loads(LOOKED_AT.read_text()).get(name, {})
    known = {tuple(sorted(group)) for group in looked_at.get("copies", [])}
    several = [sorted(rows.index) for _, rows in groups.groupby(groups) if len(rows) > 1]
    alarms = [group for group in several if tuple(group) not in known]
    return len(several) - len(alarms), alarms


def of_set(result: Planted) -> list[Figure]:
    by_kind = result.found.groupby("kind")["found"].mean()
    missed = by_kind[by_kind < 1]
    size = f"below {SMALL_SIDE} px" if result.small else ""
    note = "; ".join(
        [
            f"of {len(result.found)} copies",
            *([size] if size else []),
            *(f"{kind} {share:.3f}" for kind, share in missed.items()),
            *(["all other kinds 1"] if len(missed) else []),
        ]
    )
    alarmed = sum(map(len, result.alarms))
    flagged = f"{result.copies} flagged groups are copies; no copies: {result.alarms or 'none'}"
    return [
        Figure(
            f"{result.name}: planted copies found, share",
            float(result.found["found"].mean()),
            "" if result.small else "≥ 0.95",
            note,
        ),
        Figure(
            f"{result.name}: images flagged that are no copies, of {result.images}",
            alarmed,
            note=flagged,
        ),
    ]


def of_all(results: list[Planted]) -> list[Figure]:
    found = pd.concat([result.found for result in results])["found"]
    images = sum(result.images for result in results)
    alarmed = sum(len(group) for result in results for group in result.alarms)
    seeds = sum(result.seeds for result in results)
    drawn_in = sum(result.drawn_in for result in results)
    return [
        Figure("planted copies found, share", float(found.mean()), "≥ 0.95", f"of {len(found)}"),
        Figure("false alarms, share of images", alarmed / images, "< 0.001", f"of {images}"),
        Figure(
            "images joined with others by planted copies alone, share",
            drawn_in / sum(result.images * result.seeds for result in results),
            "< 0.001",
            f"{drawn_in} images in {seeds} tables",
        ),
        Figure(
            "splits with planted copies that are refused, share",
            sum(result.refused for result in results) / seeds,
            "= 1",
            f"of {seeds}",
        ),
        Figure(
            "groups that straddle a split made with them",
            sum(result.parted for result in results),
            "= 0",
            f"in {sum(result.splits for result in results)} splits",
        ),
    ]
