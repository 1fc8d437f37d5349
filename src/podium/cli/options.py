"""Options that several commands take, and how they print what came of it."""

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from glob import escape
from typing import Annotated, Any

import typer

from podium import paths
from podium.text import printable


def complete_run(begun: str) -> list[str]:
    """The runs that a shell offers for the beginning of a name."""
    return sorted(path.parent.name for path in paths.runs().glob(f"{escape(begun)}*/run.json"))


def complete_entry(begun: str) -> list[str]:
    return sorted(
        path.parent.name for path in paths.entries().glob(f"{escape(begun)}*/recipe.toml")
    )


RUN_HELP = "Name or path of a run folder of weights/."
ENTRY_HELP = "An entry of kernels/: see podium entries."

Run = Annotated[str, typer.Argument(help=RUN_HELP, autocompletion=complete_run)]
Competition = Annotated[str, typer.Argument(help="Its name, e.g. cars.")]
Entry = Annotated[str, typer.Argument(help=ENTRY_HELP, autocompletion=complete_entry)]
OptionalEntry = Annotated[
    str | None, typer.Argument(help=ENTRY_HELP, autocompletion=complete_entry)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE of the recipe, e.g. image_size=224; repeatable."),
]
Folds = Annotated[list[int] | None, typer.Option("--fold", help="Only this fold; repeatable.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Replace what is here already.")]
Wait = Annotated[bool, typer.Option("--wait", help="Follow it to its end.")]
Poll = Annotated[float, typer.Option(min=0.1, help="Seconds between two requests to Kaggle.")]
Ray = Annotated[str | None, typer.Option("--ray", help="A Ray cluster: auto, or HOST:PORT.")]
ShipInput = Annotated[
    bool, typer.Option("--ray-ship-input", help="Send the data along; else each node has it.")
]
GPUsPerFold = Annotated[int, typer.Option(min=1, help="Of one node of the cluster.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object: docs/api.md.")]


def show(make: Callable[[], Any], as_json: bool, title: str = "") -> Any:
    """Print what a call gives, or as one JSON object: then nothing else comes on stdout."""
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        result = make()
    if as_json:
        print(json.dumps(result.as_dict(), indent=2, allow_nan=False))
    else:
        print(printable(f"{title}{result}"))
    return result
