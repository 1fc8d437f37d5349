"""Splitting: stratified, repeatable, and never a near-copy on both sides."""

import numpy as np
import pandas as pd
import pytest

from podium.data.splits import limit_images, rarest, split_folds, split_halves, split_shares
from podium.runs.table import HELD_OUT, TRAIN_ONLY, LeakingSplit, check_split


@pytest.fixture
def table() -> pd.DataFrame:
    """1,000 images of 10 uneven classes; one in five has a near-copy or several."""
    rng = np.random.default_rng(0)
    share = np.arange(1, 11) / 55
    groups = np.arange(1000)
    copies = rng.choice(np.arange(1, 1000), 200, replace=False)
    labels = rng.choice(10, 1000, p=share)
    for copy in np.sort(copies):
        groups[copy], labels[copy] = groups[copy - 1], labels[copy - 1]
    index = pd.Index([f"{number:04}.jpg" for number in rng.permutation(1000)], name="id")
    return pd.DataFrame({"label": labels, "group": groups}, index=index)


def assert_groups_are_whole(table: pd.DataFrame, fold: pd.Series) -> None:
    assert (table.assign(fold=fold).groupby("group")["fold"].nunique() == 1).all()
    check_split(table.assign(fold=fold))


def test_folds_are_even_stratified_and_whole(table: pd.DataFrame) -> None:
    fold = split_folds(table["label"], table["group"], folds=5, seed=0)
    assert fold.index.equals(table.index)
    assert sorted(fold.unique()) == [0, 1, 2, 3, 4]
    assert fold.value_counts().between(190, 210).all()
    per_class = pd.crosstab(table["label"], fold)
    spread = per_class.max(axis=1) - per_class.min(axis=1)
    assert (spread <= 0.2 * per_class.sum(axis=1) / 5 + 4).all()
    assert_groups_are_whole(table, fold)


def test_every_scikit_learn_makes_the_same_folds(table: pd.DataFrame) -> None:
    """Kaggle's is older: a run that is split there and one that is split here must be joined."""
    fold = split_folds(table["label"], table["group"], folds=5, seed=0).sort_index()
    assert fold.head(20).tolist() == [0, 2, 3, 3, 0, 3, 0, 2, 4, 2, 2, 3, 0, 0, 0, 2, 1, 4, 4, 3]


def test_shares_are_kept_stratified_and_whole(table: pd.DataFrame) -> None:
    fold = split_shares(table["label"], table["group"], [0.7, 0.2, 0.1], seed=0)
    assert fold.index.equals(table.index)
    sizes = fold.value_counts(normalize=True)
    assert sizes[TRAIN_ONLY] == pytest.approx(0.7, abs=0.01)
    assert sizes[0] == pytest.approx(0.2, abs=0.01)
    assert sizes[HELD_OUT] == pytest.approx(0.1, abs=0.01)
    per_class = pd.crosstab(table["label"], fold)
    expected = np.outer(per_class.sum(axis=1), [0.1, 0.7, 0.2])  # columns -2, -1, 0
    assert (np.abs(per_class - expected) <= 3).all(axis=None)
    assert_groups_are_whole(table, fold)


def test_two_shares_hold_nothing_out(table: pd.DataFrame) -> None:
    fold = split_shares(table["label"], table["group"], [0.8, 0.2], seed=0)
    assert set(fold) == {TRAIN_ONLY, 0}


def test_small_classes_train_in_any_case() -> None:
    labels = pd.Series(np.repeat(np.arange(50), 4), index=[f"{i:03}" for i in range(200)])
    fold = split_shares(labels, np.arange(200), [0.8, 0.1, 0.1], seed=0)
    assert (pd.crosstab(labels, fold)[TRAIN_ONLY] >= 2).all()
    assert fold.value_counts(normalize=True)[TRAIN_ONLY] == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("how", ["folds", "shares"])
def test_order_of_rows_and_names_of_groups_do_not_matter(table: pd.DataFrame, how: str) -> None:
    def split(rows: pd.DataFrame, seed: int = 0) -> pd.Series:
        if how == "folds":
            return split_folds(rows["label"], rows["group"].to_numpy(), 5, seed)
        return split_shares(rows["label"], rows["group"].to_numpy(), [0.8, 0.2], seed)

    first = split(table)
    shuffled = table.sample(frac=1, random_state=1).assign(group=lambda rows: 7777 - rows["group"])
    pd.testing.assert_series_equal(split(shuffled).loc[table.index], first)
    assert not split(table, seed=1).equals(first)


def test_groups_are_joined_by_id(table: pd.DataFrame) -> None:
    backwards = table["group"].iloc[::-1]
    pd.testing.assert_series_equal(
        split_folds(table["label"], backwards, 5, 0),
        split_folds(table["label"], table["group"], 5, 0),
    )


def test_a_class_with_too_few_images_is_named() -> None:
    labels = pd.Series([0] * 10 + [7] * 3, index=list("abcdefghijklm"))
    with pytest.raises(ValueError, match=r"class 7: 3.*fewer folds"):
        split_folds(labels, np.arange(13), folds=5, seed=0)
    with pytest.raises(ValueError, match=r"class 7: 2"):
        split_shares(labels.iloc[:-1], np.arange(12), [0.8, 0.1, 0.1], seed=0)


def named(numbers: list[int], *names: str) -> pd.Series:
    ids = [f"p{number}" for number in range(len(numbers))]
    return pd.Series(pd.Categorical.from_codes(numbers, list(names)), ids)


def test_a_class_has_its_name_in_errors() -> None:
    labels, groups = named([0] * 10 + [1] * 3, "clock", "crocodile"), np.arange(13)
    with pytest.raises(ValueError, match=r"class crocodile: 3.*fewer folds"):
        split_folds(labels, groups, 5, 0)
    with pytest.raises(ValueError, match=r"class crocodile: 2.*fewer shares"):
        split_shares(labels.iloc[:-1], groups[:-1], [0.8, 0.1, 0.1], 0)
    with pytest.raises(ValueError, match="class crocodile are near-copies"):
        split_folds(labels, np.array([*range(10), 99, 99, 99]), 3, 0)


def test_names_change_no_fold(table: pd.DataFrame) -> None:
    names = [f"{9 - number}th" for number in range(10)]  # in another order than their numbers
    named = pd.Series(pd.Categorical.from_codes(table["label"], names), table.index)
    for split, how in ((split_folds, 5), (split_shares, [0.8, 0.1, 0.1])):
        fold = split(table["label"], table["group"], how, 0)
        assert split(named, table["group"], how, 0).equals(fold)
    assert limit_images(named, 100, 0, 3).equals(limit_images(table["label"], 100, 0))


def test_a_limit_that_leaves_too_few_is_named_as_the_cause() -> None:
    labels = named([0] * 90 + [1] * 10 + [2] * 3, "sea", "street", "glacier")
    with pytest.raises(
        ValueError, match=r"^limit = 40 leaves .*\(class street: 4\): .*higher limit"
    ):
        limit_images(labels, 40, 0, 5)
    with pytest.raises(ValueError, match=r"\(class sea: 1, class street: 0, class glacier: 0\)"):
        limit_images(labels.iloc[::-1], 1, 0, 2)
    # That the third class is too small for five folds is no fault of the limit.
    assert len(limit_images(labels, 60, 0, 5)) == 60


def test_fewer_groups_of_copies_than_folds_are_told() -> None:
    labels = pd.Series([0] * 8 + [1] * 10, [f"p{i}" for i in range(18)])
    groups = pd.Series([0] * 4 + [1] * 4 + [2] * 5 + [3] * 5, labels.index)
    with pytest.raises(ValueError, match=r"^18 images are 4 groups of near-copies, .* folds=4$"):
        split_folds(labels, groups, 5, 0)
    assert split_folds(labels, groups, 4, 0).value_counts().to_dict() == {0: 5, 1: 5, 2: 4, 3: 4}


@pytest.mark.parametrize("seed", range(100))
@pytest.mark.parametrize("parts", [2, 3, 5])
def test_no_fold_and_no_share_is_empty(seed: int, parts: int) -> None:
    rng = np.random.default_rng(seed)
    size = rng.integers(4, 30)
    labels = pd.Series(rng.integers(0, 3, size), [f"p{i}" for i in range(size)])
    groups = rng.integers(0, size, size)
    shares = {2: [0.9, 0.1], 3: [0.6, 0.2, 0.2]}
    try:
        if parts in shares:
            assert split_shares(labels, groups, shares[parts], seed).nunique() == parts
        assert split_folds(labels, groups, parts, seed).nunique() == parts
    except ValueError as error:
        assert "near-copies" in str(error) or "have fewer images" in str(error)


def test_a_class_of_copies_is_named() -> None:
    labels = pd.Series([0] * 10 + [7] * 5, index=list("abcdefghijklmno"))
    groups = np.array([*range(10), *[99] * 5])
    with pytest.raises(ValueError, match="class 7 are near-copies"):
        split_folds(labels, groups, folds=5, seed=0)


def test_halves_are_alike_and_keep_copies_together(table: pd.DataFrame) -> None:
    half = split_halves(table["label"], table["group"], seed=0)
    assert half.index.equals(table.index)
    counts = pd.crosstab(table["label"], half)
    assert (np.abs(counts[0] - counts[1]) <= 3).all()
    assert abs(int((half == 0).sum()) - 500) <= 3
    assert (half.groupby(table["group"]).nunique() == 1).all()
    shuffled = table.sample(frac=1, random_state=5)
    again = split_halves(shuffled["label"], shuffled["group"], seed=0)
    assert again.loc[half.index].equals(half)


def test_halves_of_few_images_are_two_all_the_same() -> None:
    labels = pd.Series([0, 0, 1], ["a", "b", "c"])
    assert sorted(split_halves(labels, np.array([0, 1, 2]), seed=0)) in ([0, 0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="3 images that are all near-copies"):
        split_halves(labels, np.zeros(3, int), seed=0)


def test_leak_is_found_and_told(table: pd.DataFrame) -> None:
    fold = split_folds(table["label"], table["group"], 5, 0)
    sizes = table["group"].value_counts()
    members = table.index[table["group"] == sizes.index[0]]
    leaking = table.assign(fold=fold)
    leaking.loc[members[0], "fold"] = HELD_OUT  # a held-out image with a copy in training
    with pytest.raises(LeakingSplit, match="1 groups") as caught:
        check_split(leaking)
    assert members[0] in str(caught.value)


def test_limit_is_stratified_and_repeatable(table: pd.DataFrame) -> None:
    labels = table["label"]
    chosen = limit_images(labels, 100, seed=0)
    assert len(chosen) == 100
    assert chosen.is_unique
    counts = labels[chosen].value_counts().reindex(range(10), fill_value=0)
    expected = labels.value_counts().sort_index() / 10
    assert (np.abs(counts - expected) <= 2).all()
    again = limit_images(labels.sample(frac=1, random_state=3), 100, seed=0)
    assert set(again) == set(chosen)
    assert set(limit_images(labels, 100, seed=1)) != set(chosen)


def test_limit_keeps_each_class_and_all_of_few(table: pd.DataFrame) -> None:
    assert table["label"][limit_images(table["label"], 10, seed=0)].nunique() == 10
    assert limit_images(table["label"], 5000, seed=0).equals(table.index)


def several(images: int = 400, labels: int = 8) -> tuple[pd.DataFrame, np.ndarray]:
    """Labels from frequent to rare, any number an image, and groups of copies."""
    random = np.random.default_rng(3)
    shown = random.random((images, labels)) < np.geomspace(0.5, 0.03, labels)
    ids, names = [f"i{number:04}" for number in range(images)], [f"l{n}" for n in range(labels)]
    return pd.DataFrame(shown.astype(np.uint8), ids, names), random.integers(0, 350, images)


def test_each_of_several_labels_is_spread_evenly_and_groups_are_whole() -> None:
    labels, groups = several()
    fold = split_folds(labels, groups, 5, seed=0)
    assert_groups_are_whole(labels.assign(group=groups), fold)
    counts = labels.assign(without=labels.sum(axis=1) == 0).groupby(fold).sum()
    assert (counts.max() - counts.min() <= 3).all()
    assert fold.value_counts().between(74, 86).all()
    part = split_shares(labels, groups, [0.6, 0.2, 0.2], seed=0)
    shares = labels.groupby(part).sum() / labels.sum()
    assert (abs(shares.loc[TRAIN_ONLY] - 0.6) < 0.1).all()
    assert (abs(shares.loc[HELD_OUT] - 0.2) < 0.1).all()


def test_the_split_of_several_labels_does_not_depend_on_the_order_of_rows() -> None:
    labels, groups = several()
    order = np.random.default_rng(1).permutation(len(labels))
    again = split_folds(labels.iloc[order], groups[order], 5, seed=0)
    first = split_folds(labels, groups, 5, seed=0)
    pd.testing.assert_series_equal(again.loc[labels.index], first)


def test_a_rare_label_stops_no_split_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    labels, groups = several(60)
    labels["l7"] = [1, *[0] * 59]
    split_folds(labels, groups, 5, seed=0)
    assert "labels with fewer images than the 5 folds" in capsys.readouterr().out


def test_a_limit_keeps_rare_labels_of_several() -> None:
    labels, _ = several()
    kept = labels.loc[limit_images(labels, 60, seed=0, parts=5)]
    assert len(kept) == 60 and (kept.sum() > 0).all()


def test_the_rarest_label_of_an_image() -> None:
    labels = pd.DataFrame([[1, 1], [1, 0], [0, 0]], ["a", "b", "c"], ["often", "rare"])
    assert rarest(labels).to_dict() == {"a": 1, "b": 0, "c": 2}
