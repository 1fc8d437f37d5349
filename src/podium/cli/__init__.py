"""The commands and their help, without logic; what takes seconds to import is imported late."""

import os
import sys
from typing import Annotated

import typer

from podium import __version__
from podium.cli import experiments, inspect, kaggle, train
from podium.cli.signals import one_line_on_signal
from podium.text import single_line

PANELS = {  # of the help
    "From images to a submission": train.COMMANDS,
    "Looking at runs": inspect.COMMANDS,
    "Several runs in one": train.ENSEMBLE_COMMANDS,
    "Trying recipes": experiments.COMMANDS,
    "Kaggle": kaggle.COMMANDS,
}

app = typer.Typer(
    help="Kaggle image classification, from input/ to a submission that can be trusted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


def _print_version(asked: bool) -> None:
    if asked:
        from podium.system import commit

        print(f"podium {__version__}, commit {commit() or 'not known'}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="And the commit."),
    ] = False,
) -> None:
    """Options of Podium itself."""


def main() -> None:
    """Run a command; a user's mistake is one line and an exit code (PODIUM_DEBUG: a traceback)."""
    if not sys.stderr.isatty():  # a bar that moves at a terminal is a line each time in a file
        os.environ.setdefault("TQDM_DISABLE", "1")
    with one_line_on_signal():
        try:
            app()
        except Exception as error:
            from podium.system import MORE_MEMORY, is_out_of_memory

            line = str(error)
            if isinstance(error, OSError) and error.filename and error.strerror:
                line = f"{error.filename}: {error.strerror}"  # without "[Errno 2]"
            if is_out_of_memory(error):
                line = f"{MORE_MEMORY} ({line[:200]})"
            elif not isinstance(error, ValueError | OSError):
                raise
            if os.environ.get("PODIUM_DEBUG"):
                raise
            print(f"podium: {single_line(line)}", file=sys.stderr)
            sys.exit(getattr(error, "exit_code", 1))
