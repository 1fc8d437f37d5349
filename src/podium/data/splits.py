"""Which images train and which validate: made once, stratified, no near-copies on both sides."""

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from podium.runs.table import HELD_OUT, TRAIN_ONLY
from podium.text import summarize

PART_VALUES = (TRAIN_ONLY, 0, HELD_OUT)  # of training, validation and held-out share


def split_folds(
    labels: pd.Series, groups: pd.Series | np.ndarray, folds: int, seed: int
) -> pd.Series:
    """Assign each image the fold that validates it; the order of the rows does not matter.

    Args:
        labels: class numbers, or a categorical that names them in errors, indexed by id.
        groups: images of one group stay in one fold; by id, or in the order of `labels`.

    Returns:
        int64 0 … folds - 1, indexed as `labels`.

    Raises:
        ValueError: a class has fewer images than there are folds, or is one group of copies, or
            a fold would have no images.
    """
    table = _sorted_by_id(labels, groups)
    _check_classes(table, folds, "folds")
    _check_filled(min(folds, table["group"].nunique()), table, folds, "folds")
    label = table["label"].cat.codes
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    fold = pd.Series(0, index=table.index, name="fold", dtype=np.int64)
    for number, (_, validation) in enumerate(splitter.split(table, label, table.group)):
        fold.iloc[validation] = number
    _check_filled(fold.nunique(), table, folds, "folds")
    return fold.loc[labels.index]


def split_shares(
    labels: pd.Series, groups: pd.Series | np.ndarray, shares: list[float], seed: int
) -> pd.Series:
    """Divide the images once, [train, validation] or [train, validation, held-out].

    Groups are placed one by one, large ones first, where their classes and the whole lack most
    (error diffusion): shares come out within an image or two a class, as far as groups allow.

    Returns:
        int64 indexed as `labels`: TRAIN_ONLY, 0 for validation, HELD_OUT.

    Raises:
        ValueError: a class with too few images, or a share without any.
    """
    table = _sorted_by_id(labels, groups)
    _check_classes(table, len(shares), "shares")
    parts = _diffuse(_class_counts(table), np.asarray(shares), np.random.default_rng(seed))
    _check_filled(len(np.unique(parts)), table, len(shares), "shares")
    values = np.asarray(PART_VALUES, dtype=np.int64)[parts[table.group.to_numpy()]]
    return pd.Series(values, index=table.index, name="fold").loc[labels.index]


def split_halves(labels: pd.Series, groups: pd.Series | np.ndarray, seed: int) -> pd.Series:
    """Divide images that are scored in two, each class and the whole as evenly as groups allow.

    Returns:
        int64 0 or 1, indexed as `labels`.

    Raises:
        ValueError: there is but one group.
    """
    table = _sorted_by_id(labels, groups)
    if table["group"].nunique() < 2:
        raise ValueError(
            f"{len(table)} images that are all near-copies of each other have no two halves"
        )
    halves = _diffuse(_class_counts(table), np.full(2, 0.5), np.random.default_rng(seed))
    values = halves[table["group"].to_numpy()]
    return pd.Series(values, index=table.index, name="half").loc[labels.index]


def limit_images(labels: pd.Series, limit: int, seed: int, parts: int = 1) -> pd.Index:
    """Choose `limit` ids at random, each class in proportion and, if possible, at least once.

    Args:
        labels: as of `split_folds`.
        parts: folds or shares that the images are for.

    Returns:
        The ids in the order of `labels`; the choice itself does not depend on that order.

    Raises:
        ValueError: it leaves a class too small for the parts that has enough without it.
    """
    shuffled = labels.sort_index().sample(frac=1, random_state=seed)
    by_class = shuffled.groupby(shuffled)
    # The r-th image of n comes at r/n: any beginning of this order is stratified.
    place = by_class.cumcount() / by_class.transform("size")
    chosen = place.sort_values(kind="stable").index[:limit]
    left = labels[chosen].value_counts().reindex(by_class.groups, fill_value=0)
    few = left[(left < parts) & (by_class.size() >= parts)]
    if parts > 1 and len(few):
        raise ValueError(
            f"limit = {limit} leaves fewer images than {parts} folds or shares need "
            f"({_counted(few)}): use a higher limit, or fewer folds"
        )
    return labels.index[labels.index.isin(chosen)]


def _sorted_by_id(labels: pd.Series, groups: pd.Series | np.ndarray) -> pd.DataFrame:
    """Columns label, a categorical, and group, numbered as they come, by sorted id."""
    table = pd.DataFrame({"label": labels, "group": groups}, index=labels.index).sort_index()
    label = table["label"].astype("category")
    return table.assign(label=label, group=pd.factorize(table["group"])[0])


def _check_classes(table: pd.DataFrame, parts: int, what: str) -> None:
    counts = table["label"].value_counts()
    few = counts[counts < parts]
    if len(few):
        raise ValueError(
            f"{len(few)} classes have fewer images than the {parts} {what} ({_counted(few)}): "
            f"use fewer {what}, or drop those classes"
        )
    distinct = table.groupby("label")["group"].nunique()
    copies = distinct[distinct < 2].index
    if len(copies):
        raise ValueError(
            f"all images of class {summarize(copies)} are near-copies of each other, so that it "
            "cannot be both trained and validated: add images, or drop the class"
        )


def _counted(counts: pd.Series) -> str:
    return ", ".join(f"class {name}: {count}" for name, count in counts.items())


def _check_filled(filled: int, table: pd.DataFrame, parts: int, what: str) -> None:
    if filled < parts:
        remedy = f"use folds={filled}" if what == "folds" and filled > 1 else "add images"
        raise ValueError(
            f"{len(table)} images are {table['group'].nunique()} groups of near-copies, which give "
            f"no {parts} {what}: {remedy}"
        )


def _class_counts(table: pd.DataFrame) -> np.ndarray:
    """Images of each class in each group, int (groups, classes)."""
    classes, names = pd.factorize(table["label"], sort=True)
    counts = np.zeros((table["group"].max() + 1, len(names)), dtype=np.int64)
    np.add.at(counts, (table["group"].to_numpy(), classes), 1)
    return counts


def _diffuse(counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The part, int (groups,), of each row of counts (groups, classes) by error diffusion."""
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    lacks = np.zeros((counts.shape[1], len(shares)))  # images due less images given
    parts = np.zeros(len(counts), dtype=np.int64)
    for group in order:
        classes = counts[group].nonzero()[0]
        images = counts[group, classes]
        lacks[classes] += np.outer(images, shares)
        of_classes = images @ lacks[classes] / images.sum()
        # The whole counts less than the class, so that a class's first image goes to training.
        of_all = np.clip(lacks.sum(axis=0), -1, 1) / 4
        parts[group] = np.argmax(of_classes + of_all)
        lacks[classes, parts[group]] -= images
    return parts
