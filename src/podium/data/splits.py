"""Which pictures train and which validate: made once, stratified, no near-copies on both sides."""

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

# Values of the table's `fold` column besides 0 … folds - 1.
TRAIN_ONLY = -1
HELD_OUT = -2

PART_VALUES = (TRAIN_ONLY, 0, HELD_OUT)  # of training, validation and held-out share
NAMED = 5  # examples in an error


class LeakingSplit(ValueError):
    """Near-identical pictures on both sides of a split: its score would be too good."""


def split_folds(
    labels: pd.Series, groups: pd.Series | np.ndarray, folds: int, seed: int
) -> pd.Series:
    """Assign each picture the fold that validates it; the order of the rows does not matter.

    Args:
        labels: class numbers, indexed by id.
        groups: pictures of one group stay in one fold; by id, or in the order of `labels`.

    Returns:
        int64 0 … folds - 1, indexed as `labels`.

    Raises:
        ValueError: a class has fewer pictures than there are folds, or is one group of copies.
    """
    table = _sorted_by_id(labels, groups)
    _check_classes(table, parts=folds, what="folds", remedy="use fewer folds")
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    fold = pd.Series(0, index=table.index, name="fold", dtype=np.int64)
    for number, (_, validation) in enumerate(splitter.split(table, table.label, table.group)):
        fold.iloc[validation] = number
    return fold.loc[labels.index]


def split_shares(
    labels: pd.Series, groups: pd.Series | np.ndarray, shares: list[float], seed: int
) -> pd.Series:
    """Divide the pictures once, [train, validation] or [train, validation, held-out].

    Groups are placed one by one, large ones first, where their classes and the whole lack most
    (error diffusion): shares come out within a picture or two a class, as far as groups allow.

    Returns:
        int64 indexed as `labels`: TRAIN_ONLY, 0 for validation, HELD_OUT.

    Raises:
        ValueError: not two or three shares that sum to 1, or a class with too few pictures.
    """
    if len(shares) not in (2, 3) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares must be two or three numbers above 0 of sum 1, came {shares}")
    table = _sorted_by_id(labels, groups)
    _check_classes(table, parts=len(shares), what="shares", remedy="use fewer shares")
    parts = _diffuse(_class_counts(table), np.asarray(shares), np.random.default_rng(seed))
    values = np.asarray(PART_VALUES, dtype=np.int64)[parts[table.group.to_numpy()]]
    return pd.Series(values, index=table.index, name="fold").loc[labels.index]


def split_halves(labels: pd.Series, groups: pd.Series | np.ndarray, seed: int) -> pd.Series:
    """Divide pictures that are scored in two, each class and the whole as evenly as groups allow.

    Returns:
        int64 0 or 1, indexed as `labels`.

    Raises:
        ValueError: there is but one group.
    """
    table = _sorted_by_id(labels, groups)
    if table["group"].nunique() < 2:
        raise ValueError(
            f"{len(table)} pictures that are all near-copies of each other have no two halves"
        )
    halves = _diffuse(_class_counts(table), np.full(2, 0.5), np.random.default_rng(seed))
    values = halves[table["group"].to_numpy()]
    return pd.Series(values, index=table.index, name="half").loc[labels.index]


def check_split(table: pd.DataFrame) -> None:
    """Make sure of a split before it is trained on.

    Args:
        table: indexed by id, with the columns label, fold and group.

    Raises:
        LeakingSplit: a group of near-identical pictures straddles folds.
        ValueError: a column or a fold value is missing.
    """
    missing = sorted({"label", "fold", "group"} - set(table.columns))
    if missing:
        raise ValueError(f"the table needs the columns label, fold and group; no {missing}")
    without = table.index[table["fold"].isna()]
    if len(without):
        raise ValueError(
            f"{len(without)} of {len(table)} pictures have no fold, such as "
            f"{_some(without)}: split the table again"
        )
    straddling = table[table.groupby("group")["fold"].transform("nunique") > 1]
    if len(straddling):
        first = straddling[straddling["group"] == straddling["group"].iloc[0]]
        examples = ", ".join(f"{name} (fold {fold})" for name, fold in first["fold"].items())
        raise LeakingSplit(
            f"{straddling['group'].nunique()} groups of near-identical pictures, "
            f"{len(straddling)} pictures in all, are in several folds at once, such as "
            f"{examples}: split by group, or the validation score is too good"
        )


def limit_pictures(labels: pd.Series, limit: int, seed: int) -> pd.Index:
    """Choose `limit` ids at random, each class in proportion and, if possible, at least once.

    Returns:
        The ids in the order of `labels`; the choice itself does not depend on that order.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1 picture, came {limit}")
    shuffled = labels.sort_index().sample(frac=1, random_state=seed)
    by_class = shuffled.groupby(shuffled)
    # The r-th picture of n comes at r/n: any beginning of this order is stratified.
    place = by_class.cumcount() / by_class.transform("size")
    chosen = place.sort_values(kind="stable").index[:limit]
    return labels.index[labels.index.isin(chosen)]


def _sorted_by_id(labels: pd.Series, groups: pd.Series | np.ndarray) -> pd.DataFrame:
    """Columns label and group by sorted id; groups numbered as they come, whatever their names."""
    if labels.index.has_duplicates:
        twice = labels.index[labels.index.duplicated()]
        raise ValueError(f"ids must be unique, these came twice: {_some(twice)}")
    if labels.isna().any():
        raise ValueError(f"pictures without a label: {_some(labels.index[labels.isna()])}")
    if isinstance(groups, pd.Series):
        unknown = labels.index.difference(groups.index)
        if len(unknown):
            raise ValueError(f"pictures without a group: {_some(unknown)}")
        groups = groups.loc[labels.index].to_numpy()
    elif len(groups) != len(labels):
        raise ValueError(f"expected a group per picture, {len(labels)}, came {len(groups)}")
    table = pd.DataFrame({"label": labels, "group": groups}, index=labels.index).sort_index()
    return table.assign(group=pd.factorize(table["group"])[0])


def _check_classes(table: pd.DataFrame, parts: int, what: str, remedy: str) -> None:
    counts = table["label"].value_counts()
    few = counts[counts < parts]
    if len(few):
        listed = ", ".join(f"class {name}: {count}" for name, count in few.items())
        raise ValueError(
            f"{len(few)} classes have fewer pictures than the {parts} {what} ({listed}): "
            f"{remedy}, or drop those classes"
        )
    distinct = table.groupby("label")["group"].nunique()
    copies = distinct[distinct < 2].index
    if len(copies):
        raise ValueError(
            f"all pictures of class {_some(copies)} are near-copies of each other, so that it "
            "cannot be both trained and validated: add pictures, or drop the class"
        )


def _class_counts(table: pd.DataFrame) -> np.ndarray:
    """Pictures of each class in each group, int (groups, classes)."""
    classes, names = pd.factorize(table["label"], sort=True)
    counts = np.zeros((table["group"].max() + 1, len(names)), dtype=np.int64)
    np.add.at(counts, (table["group"].to_numpy(), classes), 1)
    return counts


def _diffuse(counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The part, int (groups,), of each row of counts (groups, classes) by error diffusion."""
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    lacks = np.zeros((counts.shape[1], len(shares)))  # pictures due less pictures given
    parts = np.zeros(len(counts), dtype=np.int64)
    for group in order:
        classes = counts[group].nonzero()[0]
        pictures = counts[group, classes]
        lacks[classes] += np.outer(pictures, shares)
        of_classes = pictures @ lacks[classes] / pictures.sum()
        # The whole counts less than the class, so that a class's first picture goes to training.
        of_all = np.clip(lacks.sum(axis=0), -1, 1) / 4
        parts[group] = np.argmax(of_classes + of_all)
        lacks[classes, parts[group]] -= pictures
    return parts


def _some(names: pd.Index) -> str:
    """The first few of many names, for an error."""
    listed = ", ".join(str(name) for name in names[:NAMED])
    return listed if len(names) <= NAMED else f"{listed}, … ({len(names)} in all)"
