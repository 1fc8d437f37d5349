"""The commands and their help, nothing else; what takes seconds to import is imported late."""

import os
import sys

import typer

from podium.cli import ensembles, experiments, inspect, kaggle, train
from podium.cli.signals import INTERRUPTED, Stopping

PANELS = {  # of the help
    "From images to a submission": train.COMMANDS,
    "Looking at runs": inspect.COMMANDS,
    "Several runs in one": ensembles.COMMANDS,
    "Trying recipes": experiments.COMMANDS,
    "Kaggle": kaggle.COMMANDS,
}

app = typer.Typer(
    help="Kaggle image classification, from input/ to a submission that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


def main() -> None:
    """Run a command; a user's mistake is one line and exit code 1 (PODIUM_DEBUG: a traceback)."""
    with Stopping() as stopping:
        try:
            app()
        except SystemExit as end:
            if end.code != INTERRUPTED:
                raise
            print(f"\npodium: {stopping}", file=sys.stderr)
            sys.exit(stopping.exit_code)
        except (ValueError, OSError) as error:
            _tell(error)
        except Exception as error:
            from podium.system import MORE_MEMORY, out_of_memory

            if not isinstance(error, out_of_memory()):
                raise
            _tell(error, f"{MORE_MEMORY} ({str(error)[:200]})")


def _tell(error: Exception, line: str = "") -> None:
    """End with one line; with PODIUM_DEBUG, with the error itself."""
    if os.environ.get("PODIUM_DEBUG"):
        raise error
    print(f"podium: {line or error}", file=sys.stderr)
    sys.exit(1)
