"""Near-copies of training images planted among the validation images: which are found."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
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

# Groups that are flagged among the real images, and are copies indeed.
LOOKED_AT = json.loads((Path(__file__).parent / "looked_at.json").read_text())
SHARES = [0.8, 0.2]
EACH = 5  # copies of each kind and seed, or 1 % of the validation images if that is more
SEEDS, SPLITS = 5, 20  # tables with other copies, and splits of each


def planted_figures(quick: bool, scratch: Path) -> list[Figure]:
    sets = {} if quick else dict(real_images())
    seeds, splits = (1, 2) if quick else (SEEDS, SPLITS)
    figures, totals = [], Counter[str]()
    for name, (train, test) in (sets or {"made-up images": made_up_images(scratch)}).items():
        say(f"planting copies in {name}")
        every = pd.concat([train, test]).set_axis([*train.index, *test.index])
        checked = check_images(every["path"])
        groups = pd.Series(near_duplicate_groups(checked), every.index)
        totals += {"images": len(every), "joinable": seeds * len(every), "tables": seeds}
        totals["alarms"] += sum(map(len, false_alarms(name, groups)))
        found: dict[str, list[bool]] = defaultdict(list)  # by kind
        for seed in range(seeds):
            folder = scratch / "copies" / name / str(seed)
            table = plant(train, groups[: len(train)], seed, folder, found, totals)
            totals["parted"] += sum(parted(table, number) for number in range(splits))
        missed = [f"{kind} {np.mean(some):.3f}" for kind, some in found.items() if not all(some)]
        every_copy = [is_found for some in found.values() for is_found in some]
        note = "; ".join([f"of {len(every_copy)}", *missed])
        limit = "" if checked["small"].mean() > 0.5 else "≥ 0.95"
        share = float(np.mean(every_copy))
        figures.append(Figure(f"{name}: planted copies found, share", share, limit, note))
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


def false_alarms(name: str, groups: pd.Series) -> list[list[str]]:
    """Groups that are flagged without planting, and that are no copies."""
    several = [sorted(rows.index) for _, rows in groups.groupby(groups) if len(rows) > 1]
    return [group for group in several if group not in LOOKED_AT.get(name, [])]


def plant(
    train: pd.DataFrame,
    before: pd.Series,
    seed: int,
    folder: Path,
    found: dict[str, list[bool]],
    totals: Counter[str],
) -> pd.DataFrame:
    """Add copies of training images to the validation images of a split, and check it.

    Args:
        before: groups of the training images.
        found: gets of each kind which copies were found.

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
    groups = table["group"]
    for kind, copy, source in zip(kinds, planted.index, sources.index, strict=True):
        found[kind].append(bool(groups[copy] == groups[source]))
    after = groups.iloc[: len(train)]
    totals["joined"] += int((before.groupby(after).transform("nunique") > 1).sum())
    try:
        check_split(table)
    except LeakingSplit:
        totals["refused"] += 1
    return table


def parted(table: pd.DataFrame, seed: int) -> int:
    """Groups in several parts of two splits that are made with them."""
    labels, groups = table["label"], table["group"]
    splits = (
        split_shares(labels, groups, SHARES, seed),
        split_folds(labels, groups, 2 + seed % 4, seed),
    )
    return sum(int((split.groupby(groups).nunique() > 1).sum()) for split in splits)
