"""The whole campaign: each part in a process of its own, one table, results/<part>.json.

`python -m robustness PART …` runs some parts, `--quick` a small sample of each.
"""

import argparse
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from podium.files.atomic_write import write_json
from podium.system import about_this_run
from robustness.figures import say, table

# A module of this folder each, in this order; each has `campaign(quick, scratch) -> figures`.
PARTS = (
    "images leaks strangers connections limits budgets kills commands writers same_bytes long_runs "
    "fuzz"
).split()
LIMIT = 4 * 3600  # seconds for one part
TESTS = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m robustness")
    parser.add_argument("parts", nargs="*", default=PARTS, help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a small sample of each part")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    words = parser.parse_args()
    failed = []
    for name in words.parts:
        say(f"{name}:")
        path = words.results / f"{name}.json"
        code = f"from robustness.__main__ import run; run({name!r}, {words.quick}, {str(path)!r})"
        try:
            subprocess.run([sys.executable, "-c", code], check=True, cwd=TESTS, timeout=LIMIT)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            failed.append(f"{name}: {error}")
            continue
        figures = json.loads(path.read_text())["figures"]
        failed += [f"{name}: {f['what']}: {f['value']:.6g}" for f in figures if f["held"] is False]
    print("\n".join(f"FAILED {line}" for line in failed) or "all limits held")
    return 1 if failed else 0


def run(name: str, quick: bool, path: str) -> None:
    """Run a part in this process, print its table, and write its figures to a file."""
    load, began = os.getloadavg()[0], time.monotonic()
    # What is tried may print; standard output is for the table.
    with (
        tempfile.TemporaryDirectory(prefix="podium-robustness-") as scratch,
        contextlib.redirect_stdout(sys.stderr),
    ):
        part = importlib.import_module(f"robustness.{name}")
        figures = part.campaign(quick, Path(scratch))
    print(f"{name}\n\n{table(figures)}\n", flush=True)
    about = {
        **about_this_run(),
        "quick": quick,
        "load": load,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "figures": [figure.as_json() for figure in figures],
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_json(Path(path), about)


if __name__ == "__main__":
    sys.exit(main())
