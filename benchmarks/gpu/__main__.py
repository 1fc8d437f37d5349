"""The parts one after another, as far as the minutes reach; results are written after each.

KERAS_BACKEND=jax python -m benchmarks.gpu --minutes 12 --parts b,e,a --results FILE
python -m benchmarks.gpu --pack FOLDER
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.gpu.packing import pack, restore_weights
from benchmarks.gpu.parts import PARTS, Sizes
from benchmarks.gpu.projection import lines, project
from benchmarks.measuring import ROOT, Row, say, table
from podium.files.atomic_write import write_json
from podium.system import about_this_run
from podium.text import format_table

RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--minutes", type=float, default=15.0, help="for all of it")
    listed = "; ".join(f"{name}: {part.what}" for name, part in PARTS.items())
    parser.add_argument("--parts", default=",".join(PARTS), help=listed)
    default = "benchmarks/results/, by the device's name"
    parser.add_argument("--results", type=Path, metavar="FILE", help=f"by default in {default}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--pack", type=Path, metavar="FOLDER", help="pack what is to be brought")
    words = parser.parse_args()
    if words.pack:
        print(pack(words.pack, Sizes().small[0]))
        return 0
    if unknown := set(words.parts.split(",")) - PARTS.keys():
        parser.error(f"--parts {words.parts}: no part {sorted(unknown)[0]!r}; {listed}")
    return measure(words.parts.split(","), words.minutes, words.results, words.quick)


def measure(
    names: list[str], minutes: float, results_file: Path | None, quick: bool = False
) -> int:
    """Run these parts. Returns how many failed."""
    end = time.monotonic() + 60 * minutes
    os.environ["KERAS_BACKEND"] = "jax"
    restore_weights()
    results: dict[str, Any] = {
        **about_this_run(),
        "processor": platform.processor() or platform.machine(),
        "command": " ".join(sys.argv),
        "minutes": minutes,
        "quick": quick,
        "parts": {},
    }
    parts = results["parts"]
    for name in names:
        seconds = end - time.monotonic()
        say(f"{name}: {PARTS[name].what}, {seconds / 60:.1f} minutes left")
        if seconds < 60 * PARTS[name].minutes:
            why = f"it takes up to {PARTS[name].minutes:g} minutes, {seconds / 60:.1f} are left"
            parts[name] = {"left_out": why}
        else:
            parts[name] = run_part(name, seconds, quick)
        device = [part["device"] for part in parts.values() if "device" in part]
        results["device"] = device[0] if device else None
        path = results_file or RESULTS / f"{file_name(results['device'] or 'gpu')}.json"
        write_json(path, results)
        rows = compare(parts)
        results["rows"] = [row.as_json() for row in rows]
        # Part c is what a GPU without bfloat16 would do, and b what this one does.
        measured = [parts[one] for one in ("b", "c") if "step_seconds" in parts.get(one, {})]
        if measured:
            results["projection"] = project(measured[0], parts.get("d"))
        write_json(path, results)
    print(report(results))
    if rows:
        print(f"\n{table(rows)}")
    print(f"\nwritten to {path}")
    return sum("failed" in part for part in parts.values())


def file_name(device: str) -> str:
    """E.g. "1-nvidia-h200"; python-slugify is not everywhere."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def run_part(name: str, seconds: float, quick: bool) -> dict[str, Any]:
    """A part in a process of its own; what it found, also where it failed or its time was over."""
    with tempfile.TemporaryDirectory() as scratch:
        file, log = Path(scratch, "found.json"), Path(scratch, "log")
        command = [sys.executable, "-m", "benchmarks.gpu.parts", name, str(file)]
        command += [str(time.time() + seconds)]
        places = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
        began, failed = time.monotonic(), {}
        try:
            with log.open("w") as output:
                subprocess.run(
                    [*command, *(["--quick"] if quick else [])],
                    check=True,
                    timeout=seconds,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))},
                )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            failed = {"failed": f"{type(error).__name__}", "log": log.read_text()[-3000:]}
            say(f"  failed\n{failed['log']}")
        found = {}
        with suppress(OSError):  # it failed before it found anything
            found = json.loads(file.read_text())
        return {**found, **failed, "process_seconds": round(time.monotonic() - began, 1)}


def compare(parts: dict[str, dict[str, Any]]) -> list[Row]:
    """What was to be reached, as far as the parts that say it were measured."""
    b, e, a = (parts.get(name, {}) for name in "bea")
    rows = []
    if "step_seconds" in b and "step_seconds" in e:
        what = f"steps of {b['backbone']}, {b['image_size']} px, {b['batch_size']} images"
        ours, theirs = (
            [1 / one for one in speeds]
            for speeds in (b["step_seconds_measured"]["from memory"], e["step_seconds_measured"])
        )
        rows.append(Row(what, "timm on PyTorch", "/s", ours, theirs, to_reach="≥ 2"))
    if "fit" in a:
        speeds = a["fit"]["by Podium"], a["fit"]["from memory"]
        rows.append(
            Row(f"fit of {a['entry']}", "fed from memory", "images/s", *speeds, to_reach="≥ 0.9")
        )
    if len(a.get("folds", {})) > 1:
        seconds = a["folds"]["1"]["trained_and_scored_seconds"]
        rows.append(Row("a fold, once compiled", "a minute", "s", [seconds], [60], to_reach="≤ 1"))
    return rows


def report(results: dict[str, Any]) -> str:
    """The results as text: what each part found, and the minutes of the entries."""
    rows = [
        (name, key, json.dumps(value, ensure_ascii=False))
        for name, part in results["parts"].items()
        for key, value in part.items()
        if key != "log"
    ]
    text = "\n".join(format_table(rows))
    if "projection" in results:
        text += "\n\n" + "\n".join(format_table(lines(results["projection"])))
    return text


if __name__ == "__main__":
    sys.exit(main())
