"""Options that several commands take."""

from typing import Annotated

import typer

Run = Annotated[str, typer.Argument(help="Name or path of a run folder of weights/.")]
Competition = Annotated[str, typer.Argument(help="Its name, e.g. cars.")]
Entry = Annotated[str, typer.Argument(help="An entry of kernels/: see podium entries.")]
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
