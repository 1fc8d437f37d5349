"""--json: one object on stdout with the keys that docs/api.md names, and nothing else there."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podium.predictions.combine import assemble
from podium.runs.run_folder import RunFolder
from small_competitions import make_project
from small_runs import write_run

Command = Callable[..., tuple[int, str, str]]
REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "api.md").read_text("utf-8")


def documented(command: str, found: dict[str, Any]) -> None:
    """See that the page names each key of a command's object, and of the objects in its lists."""
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{command}` |"))
    named = set(re.findall(r"`(\w+)`", row))
    assert set(found) <= named
    for value in found.values():
        for one in value if isinstance(value, list) else []:
            assert set(one if isinstance(one, dict) else ()) <= named | SCORE


SCORE = {"metric", "value", "low", "high", "images", "temperature", "floor"}


def test_score(tmp_path: Path, command: Command) -> None:
    for name, answers in (("mine", "0\nb,1"), ("truth", "0\nb,0")):
        (tmp_path / f"{name}.csv").write_text(f"Id,Category\na,{answers}\n")
    code, out, _ = command("score", "--json", tmp_path / "mine.csv", tmp_path / "truth.csv")
    found = json.loads(out)
    assert code == 0 and found["metric"] == "accuracy" and found["value"] == 0.5
    assert set(found) == {"metric", "value", "low", "high", "images"}


def test_check_with_an_image_that_cannot_be_read(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = make_project(tmp_path, "sample")
    broken = next(path for path in data.rglob("*.jpg") if "train" in path.parts)
    broken.write_bytes(b"")
    code, out, _ = command("check", "sample", "--json")
    found = json.loads(out)
    assert code == 1 and len(found["broken"]) == 1 and str(broken) in found["broken"][0]
    documented("check", found)


def test_entries(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    found = json.loads(command("entries", "--json")[1])
    documented("entries", found)
    cars = next(entry for entry in found["entries"] if entry["entry"] == "cars-b6")
    assert cars["backbone"] == "efficientnet-b6" and isinstance(cars["missing"], list)


def test_blend_and_runs(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernels").mkdir()
    for seed, name in enumerate("ab"):
        assemble(write_run(tmp_path / "weights" / name, seed=seed))
    code, out, _ = command("blend", "a", "b", "--json")
    blended, written = json.loads(out), RunFolder(tmp_path / "weights" / "blend").read_score()
    assert code == 0 and blended["run"] == "blend" and Path(blended["submission"]).is_file()
    assert {key: blended[key] for key in written} == written
    documented("blend", blended)

    shutil.copytree("weights/a", "weights/broken")
    Path("weights/broken/run.json").write_text("{")
    found = json.loads(command("runs", "--json")[1])
    documented("runs", found)
    [competition] = found["competitions"]
    documented("runs", competition)
    runs = {run["run"]: run for run in competition["runs"]}
    assert runs["blend"]["score"] == written["score"] and runs["blend"]["folds"] is None
    assert runs["a"]["folds"] == [0, 1] and runs["a"]["seconds"] == 121
    assert competition["correlation"] is None and len(found["unreadable"]) == 1


def test_a_mistake_leaves_stdout_empty(tmp_path: Path, command: Command) -> None:
    for words in (("score", "a", "b"), ("blend", "a"), ("check", "none"), ("runs", "none")):
        code, out, errors = command(*words, "--json")
        assert code == 1 and out == "" and errors.startswith("podium: ")
