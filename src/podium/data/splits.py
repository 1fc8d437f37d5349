"""Which images train and which validate: made once, stratified, no near-copies on both sides."""

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from podium.runs.table import HELD_OUT, TRAIN_ONLY
from podium.text import summarize

Labels = pd.Series | pd.DataFrame  # of one class an image, or of several


def split_folds(labels: Labels, groups: pd.Series | np.ndarray, folds: int, seed: int) -> pd.Series:
    """Assign each image the fold that validates it; the order of the rows does not matter.

    Args:
        labels: class numbers, or a categorical that names them in errors, indexed by id; of
            several labels an image 0 or 1, a column each. Those are divided as by `split_shares`.
        groups: images of one group stay in one fold; by id, or in the order of `labels`.

    Returns:
        int64 0 … folds - 1, indexed as `labels`.

    Raises:
        ValueError: a class has fewer images than there are folds, or is one group of copies, or
            a fold would have no images.
    """
    table = _sorted_by_id(labels, groups)
    _check_filled(min(folds, table["group"].nunique()), table, folds, "folds")
    _check_classes(labels, table, folds, "folds")
    if isinstance(labels, pd.DataFrame):
        fold = _divide(labels, table, np.full(folds, 1 / folds), seed)
    else:
        # Shuffled here, as scikit-learn does since 1.7: before, it placed groups by the classes of
        # others, so that folds were not stratified, and those of Kaggle's 1.6.1 were not these.
        order = np.random.RandomState(seed).permutation(table["group"].nunique())
        group = np.argsort(order)[table["group"]]
        fold = pd.Series(0, table.index)
        splits = StratifiedGroupKFold(folds).split(table, table["label"].cat.codes, group)
        for number, (_, validation) in enumerate(splits):
            fold.iloc[validation] = number
    _check_filled(fold.nunique(), table, folds, "folds")
    return fold.loc[labels.index]


def split_shares(
    labels: Labels, groups: pd.Series | np.ndarray, shares: list[float], seed: int
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
    _check_classes(labels, table, len(shares), "shares")
    parts = _divide(labels, table, np.asarray(shares), seed)
    _check_filled(parts.nunique(), table, len(shares), "shares")
    return parts.loc[labels.index].map({0: TRAIN_ONLY, 1: 0, 2: HELD_OUT})


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
    return _divide(labels, table, np.full(2, 0.5), seed).loc[labels.index]


def limit_images(labels: Labels, limit: int, seed: int, parts: int = 1) -> pd.Index:
    """Choose `limit` ids at random, each class in proportion and, if possible, at least once.

    Args:
        labels: as of `split_folds`.
        parts: folds or shares that the images are for.

    Returns:
        The ids in the order of `labels`; the choice itself does not depend on that order.

    Raises:
        ValueError: it leaves a class too small for the parts that has enough without it.
    """
    if isinstance(labels, pd.DataFrame):
        labels, parts = rarest(labels), 1
    shuffled = labels.sort_index().sample(frac=1, random_state=seed)
    by_class = shuffled.groupby(shuffled, observed=True)
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


def rarest(labels: pd.DataFrame) -> pd.Series:
    """The rarest of several labels that each image has, by number; the number after all of none."""
    counts = labels.sum().clip(lower=1).to_numpy()
    found = (labels.to_numpy() / counts).argmax(axis=1)
    return pd.Series(np.where(labels.any(axis=1), found, labels.shape[1]), labels.index)


def _sorted_by_id(labels: Labels, groups: pd.Series | np.ndarray) -> pd.DataFrame:
    """Columns label, a categorical, and group, numbered as they come, by sorted id."""
    if isinstance(labels, pd.DataFrame):  # the table needs none
        labels = pd.Series(0, labels.index)
    table = pd.DataFrame({"label": labels, "group": groups}, index=labels.index).sort_index()
    label = table["label"].astype("category")
    return table.assign(label=label, group=pd.factorize(table["group"])[0])


def _check_classes(labels: Labels, table: pd.DataFrame, parts: int, what: str) -> None:
    """Refuse classes that cannot be in each part; of several labels an image, only say so."""
    several = isinstance(labels, pd.DataFrame)
    counts = labels.sum() if several else table["label"].value_counts()
    few = counts[counts < parts]
    if several:  # they are still learned and scored where they are
        if len(few):
            print(f"warning: labels with fewer images than the {parts} {what}: {_counted(few)}")
        return
    if len(few):
        raise ValueError(
            f"{len(few)} classes have fewer images than the {parts} {what} ({_counted(few)}): "
            f"use fewer {what}, or drop those classes"
        )
    distinct = table.groupby("label", observed=True)["group"].nunique()
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


def _divide(labels: Labels, table: pd.DataFrame, shares: np.ndarray, seed: int) -> pd.Series:
    """The part of each row of the table, int64, by `_diffuse`."""
    group, several = table["group"].to_numpy(), isinstance(labels, pd.DataFrame)
    if several:
        of_image = labels.loc[table.index].to_numpy(np.int64)
        of_image = np.column_stack([of_image, ~of_image.any(axis=1)])  # none is a class as well
    else:
        of_image = pd.get_dummies(table["label"]).to_numpy(np.int64)
    counts = np.zeros((group.max() + 1, of_image.shape[1]), np.int64)
    np.add.at(counts, group, of_image)
    parts = _diffuse(counts, shares, np.random.default_rng(seed), rare_first=several)
    return pd.Series(parts[group], table.index)


def _diffuse(
    counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator, rare_first: bool
) -> np.ndarray:
    """The part, int (groups,), of each row of counts (groups, classes) by error diffusion.

    Args:
        rare_first: place groups with rare classes first, and let these decide: of several labels
            an image (Sechidis et al. 2011, On the Stratification of Multi-Label Data).
    """
    order = rng.permutation(len(counts))
    weights = 1 / np.maximum(counts.sum(axis=0), 1) if rare_first else np.ones(counts.shape[1])
    first = (counts * weights).max(axis=1) if rare_first else counts.sum(axis=1)
    order = order[np.argsort(-first[order], kind="stable")]
    lacks = np.zeros((counts.shape[1], len(shares)))  # images due less images given
    parts = np.zeros(len(counts), dtype=np.int64)
    for group in order:
        classes = counts[group].nonzero()[0]
        images = counts[group, classes]
        lacks[classes] += np.outer(images, shares)
        voices = images * weights[classes]
        of_classes = voices @ lacks[classes] / voices.sum()
        # The whole counts less than the class, so that a class's first image goes to training.
        of_all = np.clip(lacks.sum(axis=0), -1, 1) / 4
        parts[group] = np.argmax(of_classes + of_all)
        lacks[classes, parts[group]] -= images
    return parts
