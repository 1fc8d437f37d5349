"""All benchmarks: one table, and a run more in benchmarks/results/<machine>.json.

`python -m benchmarks.NAME` runs one of them alone; `--quick` makes it tiny.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from slugify import slugify

from benchmarks.measuring import ROOT, Row, say, table
from podium.files.atomic_write import atomic_write
from podium.system import about_this_run

# A script of this folder each, in this order; whoever adds one gives it a `measure`.
SCRIPTS = (
    "cli_start",
    "batches",
    "fit_epoch",
    "views",
    "engine",
    "serve",
    "growth",
    "blend",
    "head_stage",
    "training_step",
    "scratch",
    "swish",
    "device_settings",
)
LIMIT = 1800  # seconds for one script


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("scripts", nargs="*", default=SCRIPTS, help=", ".join(SCRIPTS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that they run")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    words = parser.parse_args()
    load = os.getloadavg()
    rows: list[Row] = []
    failed = []
    for name in words.scripts:
        say(f"{name}:")
        try:
            rows += run(name, words.quick)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            failed.append(f"{name}: {error}")
    print(table(rows))
    machine = machine_name()
    about = {**about_this_run(), "machine": machine, "load": load, "quick": words.quick}
    path = words.results / f"{slugify(machine)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    runs.append({**about, "failed": failed, "rows": [row.as_json() for row in rows]})
    with atomic_write(path) as unfinished:
        text = json.dumps({"runs": runs}, indent=1, ensure_ascii=False)
        # A turn's values on one line each, or the file has a line a number.
        unfinished.write_text(re.sub(r"\[\s+([^\[\]{}\"]*?)\s+\]", _on_one_line, text) + "\n")
    print(f"\n{machine}, load {load[0]:.1f} at the start; added to {path}")
    print("\n".join(f"FAILED {line}" for line in failed))
    return 1 if failed else 0


def _on_one_line(numbers: re.Match[str]) -> str:
    return f"[{' '.join(numbers[1].split())}]"


def run(name: str, quick: bool) -> list[Row]:
    """Run a script in a process of its own; its rows."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "rows.json")
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(path)]
        subprocess.run(
            [*command, *(["--quick"] if quick else [])],
            check=True,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,  # its own table
            timeout=LIMIT,
        )
        return [Row.from_json(row) for row in json.loads(path.read_text())]


def machine_name() -> str:
    """Processor and cores, e.g. "AMD EPYC 9B14, 2 cores"."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux on x86
        model = platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores"


if __name__ == "__main__":
    sys.exit(main())
