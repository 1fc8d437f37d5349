"""`podium --help` against Python alone: what the imports of the command line take."""

import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import Row, in_turns, main, seconds

HELP = [sys.executable, "-c", "from podium.cli import main; main()", "--help"]


def measure(quick: bool, scratch: Path) -> list[Row]:
    def run(*command: str) -> float:
        return seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))

    measured = in_turns(
        {"help": lambda: run(*HELP), "pass": lambda: run(sys.executable, "-c", "pass")},
        turns=2 if quick else 11,
    )
    row = Row("podium --help", "python -c pass", "s", measured["help"], measured["pass"])
    row.gain, row.to_reach = "ours - theirs", "≤ 0.4"
    return [row]


if __name__ == "__main__":
    main(measure)
