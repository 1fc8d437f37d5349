"""The record: a row per entry, change and folds, and a page that follows from the rows."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from podium.experiments.grid import Combination
from podium.experiments.record import COLUMNS, record
from podium.experiments.trial import TrialResult, measure
from small_runs import write_run


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "kernels").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def measured(
    entry: str = "clocks", *overrides: str, folds: tuple[int, ...] = (0, 1), seed: int = 0
) -> TrialResult:
    run = write_run(Path("weights") / f"{entry}-{'-'.join(overrides)}-{seed}", seed=seed)
    about = run.read_run()
    path = run.path / "run.json"
    path.write_text(path.read_text().replace('"entry"', '"started": "2026-11-21T08:00", "entry"'))
    assert about["machine"] == "x86_64"
    for fold in (0, 1):
        run.fold(fold).write_cost({"seconds": 60 + fold, "peak_memory_gb": 1.5 - fold})
    return measure(Combination(entry, overrides, run.read_recipe()), run, list(folds))


def rows(project: Path) -> pd.DataFrame:
    return pd.read_csv(project / "docs" / "experiments.csv", dtype=str)


def test_a_measurement_is_of_its_folds_and_what_they_cost() -> None:
    both, one = measured(), measured(folds=(1,))
    assert (both.seconds, both.peak_memory_gb) == (121, 1.5)
    assert (one.seconds, one.peak_memory_gb) == (61, 0.5)
    assert both.combined.score.images == 16 and one.combined.score.images == 8


def test_a_row_that_is_measured_again_is_replaced(project: Path) -> None:
    record([measured(), measured("clocks", "seed=1", seed=1)])
    first = rows(project)
    assert list(first.columns) == COLUMNS and len(first) == 2
    record([replace(measured("clocks", "seed=1", seed=1), seconds=7)])
    again = rows(project)
    assert len(again) == 2
    assert again.set_index("change").loc["seed=1", "seconds"] == "7"
    record([measured(folds=(0,))])
    assert len(rows(project)) == 3, "other folds are another row"


def test_the_page_is_written_from_the_rows_alone(project: Path) -> None:
    page = record([measured(), measured("clocks", "views=1|2", seed=1)])
    text = page.read_text()
    assert text.startswith("# Experiments") and "podium compare" in text.splitlines()[2]
    assert "## clocks-or-crocs" in text
    assert "`views=1\\|2`" in text, "a bar would end the cell"
    page.write_text("by hand")
    record()
    assert page.read_text() == text
    csv = page.with_suffix(".csv")
    csv.write_text("".join(csv.read_text().splitlines(keepends=True)[:2]))
    record()
    assert page.read_text().count("| `clocks` |") == 1


def test_the_best_of_an_entry_comes_first(project: Path) -> None:
    found = [measured("b"), measured("a", "seed=1", seed=1), measured("a", "seed=2", seed=2)]
    lines = record(found).read_text().splitlines()
    cells = [line.split(" | ") for line in lines if line.startswith("| `")]
    assert [row[0] for row in cells] == ["| `a`", "| `a`", "| `b`"]
    scores = [float(row[4].split()[1]) for row in cells]
    assert scores[0] >= scores[1]


def test_a_record_of_another_form_is_refused_and_kept(project: Path) -> None:
    csv = project / "docs" / "experiments.csv"
    csv.parent.mkdir()
    csv.write_text("entry,score\nmine,1\n")
    with pytest.raises(ValueError, match=r"expected the columns date, .* move it away"):
        record([measured()])
    assert csv.read_text() == "entry,score\nmine,1\n"


def write_many(number: int) -> None:
    for change in range(5):
        record([measured("clocks", f"limit={number}{change}", seed=number)])


def test_two_processes_lose_no_row(project: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_many, args=(number,)) for number in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(rows(project)) == 10
