"""The whole campaign: each part in a process of its own, one table, torture/results/<part>.json.

`python -m torture PART …` runs some parts, `--quick` a small sample of each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from podium.files.atomic_write import write_json
from podium.system import about_this_run
from torture.figures import ROOT, Figure, say, table

# A module of this folder each, in this order; whoever adds one gives it a `campaign`.
PARTS = (
    "images",
    "tables",
    "leaks",
    "strangers",
    "limits",
    "kills",
    "same_bytes",
    "long_runs",
    "fuzz",
)
LIMIT = 4 * 3600  # seconds for one part


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m torture")
    parser.add_argument("parts", nargs="*", default=PARTS, help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a small sample of each part")
    parser.add_argument("--results", type=Path, default=ROOT / "torture" / "results")
    words = parser.parse_args()
    failed = []
    for name in words.parts:
        say(f"{name}:")
        load, began = os.getloadavg()[0], time.monotonic()
        try:
            figures = run(name, words.quick)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            failed.append(f"{name}: {error}")
            continue
        failed += [f"{name}: {f.what}: {f.value:.6g}" for f in figures if f.held is False]
        print(f"{name}\n\n{table(figures)}\n", flush=True)
        about = {
            **about_this_run(),
            "quick": words.quick,
            "load": load,
            "minutes": round((time.monotonic() - began) / 60, 1),
            "figures": [figure.as_json() for figure in figures],
        }
        write_json(words.results / f"{name}.json", about)
    print("\n".join(f"FAILED {line}" for line in failed) or "all limits held")
    return 1 if failed else 0


def run(name: str, quick: bool) -> list[Figure]:
    """Run a part in a process of its own; its figures."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "figures.json")
        command = [sys.executable, "-m", f"torture.{name}", "--json", str(path)]
        subprocess.run(
            [*command, *(["--quick"] if quick else [])],
            check=True,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,  # its own table
            timeout=LIMIT,
        )
        return [Figure.from_json(figure) for figure in json.loads(path.read_text())]


if __name__ == "__main__":
    sys.exit(main())
