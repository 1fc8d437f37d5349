"""The B6 entries from their first step to a submission, on a CPU and on a handful of images.

Each stage is traced and run at its own size of image, with random weights and batches of at most 8.
It takes about an hour and 10 GB; `--quick` builds B0 in place of B6, to see that it runs.

    python -m benchmarks.b6 [ENTRY ...]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import ROOT, say
from podium.competitions import get_competition
from podium.files.atomic_write import write_json
from podium.recipes.entries import get_entry
from podium.runs.run_folder import RunFolder
from podium.system import about_this_run
from podium.text import format_table

sys.path.insert(0, str(ROOT / "tests"))
from small_competitions import DRAW

ENTRIES = ("cars-b6", "dogs-vs-cats-b6", "intel-b6")
LARGEST_BATCH = 8
RESULTS = ROOT / "benchmarks" / "results" / "b6.json"


def run_entry(entry: str, quick: bool) -> list[dict[str, Any]]:
    """A row for each stage, and one for the whole; raises CalledProcessError where it fails."""
    recipe = get_entry(entry).recipe(())
    stages = [
        {
            "unfreeze": stage.unfreeze,
            "epochs": 1,
            "learning_rate": stage.learning_rate,
            "image_size": recipe.stage_size(number),
            "batch_size": min(stage.batch_size or recipe.batch_size, LARGEST_BATCH),
        }
        for number, stage in enumerate(recipe.stages)
    ]
    in_toml = ", ".join(
        "{" + ", ".join(f"{key}={json.dumps(value)}" for key, value in stage.items()) + "}"
        for stage in stages
    )
    changes = ["weights=none", f"stages=[{in_toml}]", f"batch_size={LARGEST_BATCH}"]
    changes += ["shares=[0.8, 0.2]", *(["backbone=efficientnet-b0"] if quick else [])]
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch)
        (project / "kernels").symlink_to(ROOT / "kernels")
        competition = recipe.competition
        DRAW[competition](project / "input" / get_competition(competition).slug)
        words = [word for change in changes for word in ("--set", change)]
        began = time.monotonic()
        podium = Path(sys.executable).with_name("podium")
        subprocess.run(
            [podium, "train", entry, "--run", entry, *words],
            cwd=project,
            stdout=sys.stderr,
            check=True,
        )
        seconds = time.monotonic() - began
        folder = RunFolder(project / "weights" / entry)
        history = folder.fold(0).read_history()
        submission = (project / "submissions" / f"{entry}.csv").read_text().splitlines()
        cost = folder.fold(0).read_cost()
    rows = [
        {
            "entry": entry,
            "stage": number + 1,
            "what": str(stage["unfreeze"]),
            "image_size": stage["image_size"],
            "batch_size": stage["batch_size"],
            "seconds": round(float(row["seconds"]), 1),
            "peak_memory_gb": float(row["peak_memory_gb"]),
        }
        for number, (stage, (_, row)) in enumerate(zip(stages, history.iterrows(), strict=True))
    ]
    whole = {"entry": entry, "stage": "all", "what": f"submission of {len(submission) - 1} rows"}
    return [
        *rows,
        {**whole, "seconds": round(seconds, 1), "peak_memory_gb": cost["peak_memory_gb"]},
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.b6")
    parser.add_argument("entries", nargs="*", default=ENTRIES)
    parser.add_argument("--quick", action="store_true")
    words = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for entry in words.entries:
        say(f"{entry}:")
        rows += run_entry(entry, words.quick)
    keys = ("entry", "stage", "what", "image_size", "batch_size", "seconds", "peak_memory_gb")
    print(
        "\n".join(format_table([keys, *([str(row.get(key, "")) for key in keys] for row in rows)]))
    )
    if not words.quick:
        write_json(RESULTS, {**about_this_run(), "rows": rows})


if __name__ == "__main__":
    main()
