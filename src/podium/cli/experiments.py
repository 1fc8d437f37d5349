"""Commands that try recipes."""

from typing import Annotated

import typer

from podium.cli.options import Entry, Folds, Overrides


def compare(
    entry: Entry,
    tries: Annotated[
        list[str] | None,
        typer.Option("--try", help="KEY=A,B,… of the recipe; with several, each combination."),
    ] = None,
    fold: Folds = None,
    override: Overrides = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only so many combinations, drawn at random.")
    ] = None,
) -> None:
    """Score an entry with different recipes side by side; writes docs/experiments.md.

    Goes on where it was stopped, and trains no combination twice. Exit code 1 if one failed.
    """
    from podium.experiments.compare import compare

    comparison = compare(entry, tries or [], fold or [], override or [], sample)
    print(f"\n{comparison}")
    if comparison.failed:
        raise typer.Exit(1)


def find_lr(
    entry: Entry,
    fold: Annotated[int, typer.Option(help="Whose images train.")] = 0,
    stage: Annotated[
        int | None, typer.Option(min=1, help="By default the last; those before are trained.")
    ] = None,
    steps: Annotated[int, typer.Option(min=10, help="Batches, each at a higher rate.")] = 100,
    override: Overrides = None,
) -> None:
    """Try rising learning rates in a stage of an entry, and draw the loss by rate."""
    from podium.experiments.find_lr import find_lr

    print(f"\n{find_lr(entry, override or [], fold, stage, steps)}")


def tune(
    entry: Entry,
    trials: Annotated[
        int, typer.Option(min=1, help="In all, those of earlier calls and other processes too.")
    ] = 40,
    hours: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="No trial begins that would take longer, going by the longest so far."
        ),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            help="KEY=LOW:HIGH or KEY=LOW:HIGH:log; in place of learning rates, weight decay, "
            "dropout, label smoothing and the augmentation that the entry uses."
        ),
    ] = None,
    fold: Folds = None,
    override: Overrides = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Database that several can share; weights/studies.db if not given."),
    ] = None,
) -> None:
    """Search ranges of an entry's numbers with Optuna, on fold 0 if no other is given."""
    from podium.experiments.tune import tune

    words = trials, hours, search or [], fold or [], override or [], storage
    print(f"\n{tune(entry, *words)}")


COMMANDS = (compare, find_lr, tune)
