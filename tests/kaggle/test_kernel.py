"""What a kernel is called, what it reads, and what Kaggle would not take of it."""

import pytest

from podium.kaggle.kernel import BuildError, Kernel


def test_its_name_says_run_fold_and_whether_it_predicts() -> None:
    whole = Kernel("cars-b6", ["seed=1"])
    assert whole.name == whole.run and whole.run.startswith("cars-b6-")
    assert Kernel("cars-b6", ["seed=1"], fold=2).name == f"{whole.run}-fold-2"
    assert Kernel("cars-b6", ["seed=1"], predicts=True).name == f"{whole.run}-predict"
    assert Kernel("cars-b6", predicts=True, other_run="mine").name == "mine-predict"


def test_its_command_has_the_changes_and_the_fold() -> None:
    assert Kernel("cars-b6").arguments == []
    assert Kernel("cars-b6", ["seed=1"], fold=0).arguments == ["--set", "seed=1", "--fold", "0"]


def test_it_reads_what_it_averages_and_what_it_predicts_by() -> None:
    assert Kernel("cars-b6").reads == []
    assert Kernel("cars-b6", predicts=True).reads == ["cars-b6"]
    runs = ["cars-b6", "cars-b6-seed-1"]
    assert Kernel("cars-ensemble").reads == runs
    assert Kernel("cars-ensemble", predicts=True).reads == ["cars-ensemble", *runs]


def test_an_ensemble_has_no_folds_and_nothing_to_change() -> None:
    for kernel in (Kernel("cars-ensemble", fold=0), Kernel("cars-ensemble", ["seed=1"])):
        with pytest.raises(BuildError, match="cars-ensemble averages runs"):
            kernel.check()


def test_a_fold_that_the_recipe_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="fold 9: this recipe has the folds 0 to 4"):
        Kernel("cars-b6", fold=9).check()
