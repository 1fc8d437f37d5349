"""Commands that make one run of several."""

from pathlib import Path
from typing import Annotated

import typer

from podium.cli.options import Fresh


def blend(
    runs: Annotated[
        list[str], typer.Argument(help="Runs of weights/, or one entry that is an ensemble.")
    ],
    to: Annotated[Path | None, typer.Option(help="Path of the submission.")] = None,
    common: Annotated[
        bool, typer.Option("--common", help="Judge on what all runs have out of fold.")
    ] = False,
) -> None:
    """Blend runs in the way that is best out of fold; says what it gains, and how sure that is."""
    from podium.predictions.blend import blend

    print(blend(runs, to, common))


def soup(
    runs: Annotated[
        list[str], typer.Argument(help="A run trained with checkpoints, or several of one network.")
    ],
    run: Annotated[str | None, typer.Option(help="Name of the soup's run folder.")] = None,
    fresh: Fresh = False,
) -> None:
    """Average checkpoints of runs to one network, as far as that is no worse out of fold."""
    from podium.training.soup import soup

    print(f"\n{soup(runs, run, fresh)}")


COMMANDS = (blend, soup)
