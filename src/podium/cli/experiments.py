"""Commands that try recipes."""

from typing import Annotated

import typer

from podium.cli.options import Entry, Folds, GPUsPerFold, Overrides, Ray, ShipInput
from podium.text import printable


def compare(
    entry: Entry,
    tries: Annotated[
        list[str] | None,
        typer.Option("--try", help="KEY=A,B,… of the recipe; with several, each combination."),
    ] = None,
    fold: Folds = None,
    override: Overrides = None,
    ray: Ray = None,
    ray_ship_input: ShipInput = False,
    gpus_per_fold: GPUsPerFold = 1,
) -> None:
    """Score an entry with different recipes side by side; adds to weights/experiments.csv.

    Goes on where it was stopped, and trains no combination twice. Exit code 1 if one failed.
    """
    from podium.experiments.compare import compare
    from podium.training.cluster.driver import cluster_at

    cluster = cluster_at(ray, ray_ship_input, gpus_per_fold)
    comparison = compare(entry, tries or [], fold or [], override or [], cluster)
    print(printable(f"\n{comparison}"))
    if comparison.failed:
        raise typer.Exit(1)


def find_lr(
    entry: Entry,
    fold: Annotated[int, typer.Option(help="The fold whose training images are used.")] = 0,
    stage: Annotated[int | None, typer.Option(min=1, help="By default the last one.")] = None,
    steps: Annotated[int, typer.Option(min=10, help="Batches, each at a higher rate.")] = 100,
    override: Overrides = None,
) -> None:
    """Train the stages before one, run a learning-rate range test in it, and draw the curve."""
    from podium.experiments.find_lr import find_lr

    print(printable(f"\n{find_lr(entry, override or [], fold, stage, steps)}"))


def tune(
    entry: Entry,
    trials: Annotated[int, typer.Option(min=1, help="In all calls and processes.")] = 40,
    hours: Annotated[
        float | None, typer.Option(min=0.0, help="No trial begins after them.")
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            help="KEY=LOW:HIGH or KEY=LOW:HIGH:log; by default learning rates, weight decay, "
            "dropout, label smoothing and the augmentation in use."
        ),
    ] = None,
    fold: Folds = None,
    override: Overrides = None,
    storage: Annotated[str | None, typer.Option(help="Database that several share.")] = None,
    ray: Ray = None,
    ray_ship_input: ShipInput = False,
    gpus_per_fold: GPUsPerFold = 1,
) -> None:
    """Search ranges of an entry's numbers with Optuna, by default on fold 0.

    The study is in weights/studies.db, or in the database that --storage names.
    """
    from podium.experiments.tune import tune
    from podium.training.cluster.driver import cluster_at

    cluster = cluster_at(ray, ray_ship_input, gpus_per_fold)
    tuned = tune(entry, trials, hours, search or [], fold or [], override or [], storage, cluster)
    print(printable(f"\n{tuned}"))


COMMANDS = (compare, find_lr, tune)
