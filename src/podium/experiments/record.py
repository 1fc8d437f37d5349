"""What was measured: docs/experiments.csv, and docs/experiments.md as it follows from it."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from podium import paths
from podium.competitions import get_competition
from podium.experiments.file_lock import alone
from podium.experiments.trial import TrialResult
from podium.files.atomic_write import atomic_write, write_csv
from podium.runs.run_folder import run_name

KEY = ["entry", "change", "folds"]
COLUMNS = [
    "date", "commit", "competition", *KEY, "images", "metric", "score", "low", "high",
    "plain", "averaged", "seconds", "peak_memory_gb", "machine",
]  # fmt: skip
HEADER = """# Experiments

Written by `podium compare` from [experiments.csv](experiments.csv), not by hand. A row is an \
entry with a change, on some folds; measured again, it is replaced.

- A change is against the entry's recipe **at the commit of its row**.
- The score is out of fold (or of the held-out share, where it says so), with the 95 % interval \
over its images, with the views that are worth averaging. Rows with other folds \
or other numbers of images are not comparable.
- Seconds are of training and scoring the folds, without the test images, on a machine that may \
have done other work.
- Blends and soups of runs are in [ensembles.md](ensembles.md).
"""
TITLES = (
    "entry", "change", "folds", "images", "score (95 % interval)", "plain view",
    "averaged views", "seconds", "peak memory", "measured", "machine",
)  # fmt: skip


def record(measured: Iterable[TrialResult] = ()) -> Path:
    """Add rows to the record, or replace those of the same entry, change and folds.

    Returns:
        The page, which is written anew.
    """
    folder = paths.docs()
    with alone(folder):
        new = [_row(one) for one in measured]
        rows = pd.DataFrame([*_read(folder / "experiments.csv"), *new], columns=COLUMNS)
        rows = rows.drop_duplicates(KEY, keep="last").sort_values(["competition", *KEY])
        write_csv(folder / "experiments.csv", rows, index=False)
        page = folder / "experiments.md"
        with atomic_write(page) as part:
            part.write_text(_page(rows), encoding="utf-8")
    return page


def figure_path(entry: str, keys: Iterable[str]) -> Path:
    """Where the figure of a comparison goes: one for an entry and the keys that were tried."""
    return paths.docs() / "experiments" / f"{run_name(f'{entry}-', sorted(keys))}.png"


def _row(one: TrialResult) -> dict[str, str]:
    run = one.run.read_run()
    combined, combination = one.combined, one.combination
    score = combined.score
    held_out = "held-out " * (combined.scored != "out-of-fold")
    return {
        "date": run["started"][:10],
        "commit": (run["commit"] or "")[:12],
        "competition": combination.recipe.competition,
        "entry": combination.entry,
        "change": combination.change,
        "folds": " ".join(map(str, combined.folds)),
        "images": str(score.images),
        "metric": held_out + score.metric,
        "score": f"{score.value:.5f}",
        "low": f"{score.low:.5f}",
        "high": f"{score.high:.5f}",
        "plain": f"{combined.plain.value:.5f}",
        "averaged": f"{combined.averaged.value:.5f}",
        "seconds": str(one.seconds),
        "peak_memory_gb": str(one.peak_memory_gb),
        "machine": run["machine"],
    }


def _read(path: Path) -> list[dict[str, str]]:
    """The rows so far."""
    if not path.is_file():
        return []
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(rows.columns) != COLUMNS:
        raise ValueError(
            f"{path}: expected the columns {', '.join(COLUMNS)}, came {', '.join(rows.columns)}: "
            "move it away, and it is begun anew"
        )
    return rows.to_dict("records")


def _page(rows: pd.DataFrame) -> str:
    sections = [_section(name, of_it) for name, of_it in rows.groupby("competition")]
    return "\n".join([HEADER, *sections])


def _section(competition: str, rows: pd.DataFrame) -> str:
    """A table, entry by entry, the best score first."""
    ascending = not get_competition(competition).metric.per_image_score
    rows = rows.assign(value=rows["score"].astype(float))
    rows = rows.sort_values(["entry", "value"], ascending=[True, ascending], kind="stable")
    lines = ["| " + " | ".join(TITLES) + " |", "|" + "---|" * len(TITLES)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows.to_dict("records")]
    figures = [
        f"\n![{path.stem}](experiments/{path.name})"
        for entry in rows["entry"].unique()
        for path in sorted((paths.docs() / "experiments").glob(f"{entry}--*.png"))
    ]
    return "\n".join([f"## {competition}\n", *lines, *figures]) + "\n"


def _cells(row: dict[str, str]) -> list[str]:
    score, low, high, plain, averaged = (
        f"{float(row[name]):.4f}" for name in ("score", "low", "high", "plain", "averaged")
    )
    change = row["change"].replace("|", "\\|")
    return [
        f"`{row['entry']}`",
        change if "=" not in change else f"`{change}`",
        row["folds"],
        row["images"],
        f"{row['metric']} {score} ({low} to {high})",
        plain,
        averaged,
        row["seconds"],
        f"{float(row['peak_memory_gb']):.1f} GB",
        f"{row['date']}, {row['commit'] or 'no commit'}",
        row["machine"],
    ]
