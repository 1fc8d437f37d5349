"""The files of a run from elsewhere: of their form, or refused in one line by every command."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.files.untrusted import ForeignFile
from podium.predictions.combine import assemble
from podium.runs import schemas
from podium.runs.schemas import CostFile, RunError, RunFile, ScoreFile, read_csv, read_json
from small_runs import Command, write_run

Change = Callable[[Path], object]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"half": ', "is not as Podium writes it"),
        ("[" * 100_000, "is not as Podium writes it"),
        ("[1]", r"is not as Podium writes it: came \[1\], should be a valid dict"),
        ('{"score": 3}', "score: came 3, should be"),
        (
            '{"score": {"metric": "\\u001b[2J", "value": "x", "low": 0, "high": 1}}',
            "score.value: came 'x'",
        ),
        ('{"score": {"metric": 1, "value": 1, "low": 0, "high": 1}}', "score.metric: came 1,"),
        ('{"folds": [0]}', "score: came .*, Field required"),
    ],
    ids=["half", "deep", "list", "number", "value", "metric", "missing"],
)
def test_json_of_another_form_is_refused_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "score.json"
    path.write_text(text)
    with pytest.raises(RunError, match=rf"score\.json {told}|score\.json .*{told}") as caught:
        read_json(path, ScoreFile)
    assert str(caught.value).isprintable()


def test_what_is_no_file_of_the_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "cost.json"
    with pytest.raises(RunError, match=r"is missing: train the run"):
        read_json(path, CostFile)
    os.mkfifo(path)
    for read in (lambda: read_json(path, CostFile), lambda: read_csv(path, [])):
        with pytest.raises(ForeignFile, match="is no regular file"):
            read()
    path.unlink()
    path.write_text('{"seconds": 1}')
    assert read_json(path, CostFile) == {"seconds": 1}
    monkeypatch.setattr(schemas, "LARGEST", 10)
    with pytest.raises(ForeignFile, match="has 14 bytes, more than 10"):
        read_json(path, CostFile)


def test_keys_that_no_form_names_stay(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(data := {"recipe": {"old": 1}, "of another version": [1]}))
    assert read_json(path, RunFile) == data


# --- Whatever command meets them


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs, combined; the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("good", "odd"):
        assemble(write_run(tmp_path / "weights" / name))
    return tmp_path / "weights" / "odd"


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def text(content: str) -> Change:
    return lambda path: path.write_text(content)


ODD: list[tuple[str, Change]] = [
    ("run.json", pipe),
    ("run.json", text("[]")),
    ("run.json", text('{"recipe": 3}')),
    ("run.json", text('{"recipe": {"competition": ["a"]}}')),
    ("run.json", text('{"runs": "all"}')),
    ("run.json", text('{"runs": [1]}')),
    ("run.json", text('{"soup": {"runs": [1]}, "recipe": {}}')),
    ("score.json", pipe),
    ("score.json", link),
    ("fold-0/history.csv", link),
    ("score.json", text("[]")),
    ("score.json", text('{"score": [0.5], "folds": [0, 1], "tried_views": []}')),
    ("fold-0/cost.json", text('{"seconds": "long"}')),
    ("fold-0/cost.json", text("[]")),
    ("fold-1/pseudo.json", text('{"stages": {"a": 1}}')),
    ("fold-1/started_from.json", text('{"runs": [{"run": 1}]}')),
    ("pictures.csv", text("")),
    ("pictures.csv", text("part,id\ntrain,1\n")),
    ("pictures.csv", lambda path: path.write_bytes(b"\xff\xfe\x00")),
    ("out_of_fold.csv", pipe),
    ("out_of_fold.csv", text("id,clock,crocodile\nclock/0,x,y\n")),
    ("test.csv", text("clock\n1\n")),
    ("fold-0/validation.csv", text("a,b\n1,2\n")),
]


@pytest.mark.parametrize(
    "words", [("runs",), ("blend", "good", "odd"), ("report", "odd")], ids="-".join
)
@pytest.mark.parametrize(("name", "change"), ODD)
def test_every_command_refuses_it_in_a_line(
    project: Path, command: Command, name: str, change: Change, words: tuple[str, ...]
) -> None:
    change(project / name)
    code, out, errors = command(*words)
    assert "Traceback" not in out + errors
    if words == ("runs",):
        assert code == 0 and "\n  good " in out  # one bad run hides no other
    elif code or name in ("run.json", "pictures.csv", "out_of_fold.csv"):  # which both need
        assert code == 1 and errors.startswith("podium: ") and errors.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("predict", "odd"), ("serve", "odd", "--port", "0"), ("soup", "odd")], ids="-".join
)
@pytest.mark.parametrize("content", ["[]", '{"recipe": 3}'])
def test_commands_with_networks_refuse_it_too(
    project: Path, command: Command, content: str, words: tuple[str, ...]
) -> None:
    (project / "run.json").write_text(content)
    code, _, errors = command(*words)
    assert code == 1 and errors.startswith("podium: ") and errors.count("\n") == 1
    assert "run.json is not as Podium writes it" in errors
