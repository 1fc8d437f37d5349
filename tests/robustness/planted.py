"""Near-copies of training images planted among the validation images: which are found."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from podium.competitions import COMPETITIONS, MissingData, get_competition
from podium.data.check import check_images
from podium.data.near_duplicates import near_duplicate_groups
from podium.data.splits import split_folds, split_shares
from podium.runs.table import LeakingSplit, check_split
from robustness.copies import KINDS, write_copy, write_made_up
from robustness.figures import Figure, say

# Groups that are flagged among the real images, by what they turned out to be when looked at.
LOOKED_AT = Path(__file__).parent / "looked_at.json"
SHARES = [0.8, 0.2]
EACH = 5  # copies of each kind and seed, or 1 % of the validation images if that is more
SEEDS, SPLITS = 5, 20  # tables with other copies, and splits of each


@dataclass
class Planted:
    """What came of it in one set of images."""

    name: str
    images: int  # that were there without planting
    is_small: bool
    alarms: list[list[str]]  # groups flagged without planting that are no copies
    found: list[tuple[str, bool]] = field(default_factory=list)  # the kind of each copy
    joined: int = 0  # images joined with others by nothing but planted copies, all seeds
    refused: int = 0  # leaking splits
    parted: int = 0  # groups in several parts of a split, of all splits


def planted_figures(quick: bool, scratch: Path) -> list[Figure]:
    sets = {} if quick else dict(real_images())
    seeds, splits = (1, 2) if quick else (SEEDS, SPLITS)
    results = []
    for name, (train, test) in (sets or {"made-up images": made_up_images(scratch)}).items():
        say(f"planting copies in {name}")
        results.append(plant(name, train, test, seeds, splits, scratch / "copies"))
    return [*map(figure_of, results), *figures_of(results, seeds, splits)]


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


def plant(
    name: str, train: pd.DataFrame, test: pd.DataFrame, seeds: int, splits: int, scratch: Path
) -> Planted:
    """Plant copies in the training images; the test images are only looked at."""
    every = pd.concat([train, test]).set_axis([*train.index, *test.index])
    checked = check_images(every["path"])
    groups = pd.Series(near_duplicate_groups(checked), every.index)
    is_small = bool(checked["small"].mean() > 0.5)
    result = Planted(name, len(every), is_small, false_alarms(name, groups))
    for seed in range(seeds):
        table = plant_once(train, groups[: len(train)], seed, scratch / name / str(seed), result)
        for number in range(splits):
            labels, grouped = table["label"], table["group"]
            for split in (
                split_shares(labels, grouped, SHARES, number),
                split_folds(labels, grouped, 2 + number % 4, number),
            ):
                result.parted += int((split.groupby(grouped).nunique() > 1).sum())
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
    kinds = (list(KINDS) * each)[: len(of_training)]
    sources = train.iloc[rng.choice(of_training, len(kinds), replace=False)]
    folder.mkdir(parents=True)
    paths = [folder / f"{number}.jpg" for number in range(len(kinds))]
    for kind, source, path in zip(kinds, sources["path"], paths, strict=True):
        write_copy(source, kind, path, rng)
    planted = pd.DataFrame({"path": paths, "label": sources["label"].to_numpy()}, map(str, paths))
    table = pd.concat([train[["path", "label"]], planted])
    table["fold"] = [*fold, *[0] * len(planted)]
    table["group"] = near_duplicate_groups(check_images(table["path"]))
    found = table.loc[planted.index, "group"].to_numpy() == table.loc[sources.index, "group"]
    result.found += zip(kinds, found, strict=True)
    after = table["group"].iloc[: len(train)]
    result.joined += int((before.groupby(after).transform("nunique") > 1).sum())
    try:
        check_split(table)
    except LeakingSplit:
        result.refused += 1
    return table


def false_alarms(name: str, groups: pd.Series) -> list[list[str]]:
    """Groups that are flagged without planting, and that are no copies."""
    known = {tuple(sorted(group)) for group in json.loads(LOOKED_AT.read_text()).get(name, [])}
    several = [sorted(rows.index) for _, rows in groups.groupby(groups) if len(rows) > 1]
    return [group for group in several if tuple(group) not in known]


def figure_of(result: Planted) -> Figure:
    found = pd.DataFrame(result.found, columns=["kind", "found"]).astype({"found": float})
    by_kind = found.groupby("kind")["found"].mean()
    missed = [f"{kind} {share:.3f}" for kind, share in by_kind[by_kind < 1].items()]
    notes = [f"of {len(found)} copies", *missed, f"no copies are flagged: {result.alarms}"]
    limit = "" if result.is_small else "≥ 0.95"
    what = f"{result.name}: planted copies found, share"
    return Figure(what, found["found"].mean(), limit, "; ".join(notes))


def figures_of(results: list[Planted], seeds: int, splits: int) -> list[Figure]:
    found = [is_found for result in results for _, is_found in result.found]
    images = sum(result.images for result in results)
    alarmed = sum(len(group) for result in results for group in result.alarms)
    joined, tables = sum(result.joined for result in results), seeds * len(results)
    refused = sum(result.refused for result in results)
    parted = sum(result.parted for result in results)
    return [
        Figure("planted copies found, share", np.mean(found), "≥ 0.95", f"of {len(found)}"),
        Figure("false alarms, share of images", alarmed / images, "< 0.001", f"of {images}"),
        Figure("images joined by planted copies alone, share", joined / images / seeds, "< 0.001"),
        Figure("splits with planted copies that are refused", refused, f"= {tables}"),
        Figure(
            "groups that straddle a split made with them",
            parted,
            "= 0",
            f"in {2 * splits * tables} splits",
        ),
    ]
