"""The commands and their help, nothing else; what takes seconds to import is imported late."""

import os
import sys

import typer

from podium.cli import ensembles, kaggle, laboratory, looking, training

PANELS = {  # of the help
    "From pictures to a submission": training.COMMANDS,
    "Looking at runs": looking.COMMANDS,
    "Several runs in one": ensembles.COMMANDS,
    "Trying recipes": laboratory.COMMANDS,
    "Kaggle": kaggle.COMMANDS,
}
INTERRUPTED = 130  # exit code

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
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # Typer has caught Ctrl-C
            print("\npodium: interrupted; the same command goes on from here", file=sys.stderr)
        raise
    except (ValueError, OSError) as error:
        if os.environ.get("PODIUM_DEBUG"):
            raise
        print(f"podium: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        from podium.machine import MORE_MEMORY, out_of_memory

        if os.environ.get("PODIUM_DEBUG") or not isinstance(error, out_of_memory()):
            raise
        print(f"podium: {MORE_MEMORY} ({str(error)[:200]})", file=sys.stderr)
        sys.exit(1)
