"""The benchmarks run, at a tiny size, and their numbers say what they claim to."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from podium.competitions import get_competition
from small_competitions import DRAW

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks/ is no part of what is installed

from benchmarks import __main__ as bench  # noqa: E402
from benchmarks.measuring import Row, in_turns, table  # noqa: E402


def test_a_row_compares_turn_by_turn() -> None:
    row = Row("a", "b", "s", ours=[1.0, 20.0, 3.0], theirs=[2.0, 40.0, 3.0], to_reach="≤ 0.5")
    assert row.ratio == 0.5
    assert row.reached is True
    assert Row("a", "b", "s", [3.0], [2.0], to_reach="≤ 1.05").reached is False
    assert Row("a", "b", "/s", [3.0], [2.0], to_reach="≥ 1.5").reached is True
    assert Row("a", "b", "s", [2.0], [30.0], "theirs / ours", "≥ 10").ratio == 15
    assert Row("a", "b", "s", [0.5], [0.2], "ours - theirs", "≤ 0.4").reached is True
    assert Row("a", "b", "s", [0.5], [0.2]).reached is None
    assert Row.from_json(row.as_json()) == row


def test_turns_alternate_after_a_warm_up() -> None:
    calls: list[str] = []

    def contender(name: str):
        return lambda: calls.append(name) or float(len(calls))

    measured = in_turns({name: contender(name) for name in "ab"}, turns=3)
    assert "".join(calls) == "ba" + "ab" + "ba" + "ab"
    assert measured == {"a": [3.0, 6.0, 7.0], "b": [4.0, 5.0, 8.0]}


def test_the_table_says_what_was_left_out_and_what_was_not_reached() -> None:
    rows = [
        Row("speed", "peer", "s", [2.0, 4.0, 3.0], [1.0, 2.0, 1.0], to_reach="≤ 1.05", note="so"),
        Row.left_out("speed", "other", "other is not installed"),
    ]
    text = table(rows)
    assert "3 (2 to 4) s" in text
    assert "≤ 1.05" in text
    assert "NO" in text
    assert "[2] left out: other is not installed" in text


# Two of them run always; the others take up to half a minute each.
SCRIPTS = [
    pytest.param(name, marks=[] if name in ("views", "cli_start") else pytest.mark.slow)
    for name in bench.SCRIPTS
]


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_script_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intel = get_competition("intel")  # which one of them trains on
    DRAW["intel"](tmp_path / "input" / intel.slug)
    monkeypatch.setenv("PODIUM_INPUT", str(tmp_path / "input"))
    rows = importlib.import_module(f"benchmarks.{name}").measure(True, tmp_path)
    assert rows
    for row in rows:
        assert len(row.ours) == len(row.theirs) > 0
        assert all(value > 0 for value in row.ours + row.theirs)
        assert row.what
        assert row.against
    assert table(rows)


def test_all_are_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "cli_start", "no_such_script", "--quick", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    assert bench.main() == 1
    out = capsys.readouterr().out
    assert "podium --help" in out
    assert "FAILED no_such_script" in out
    [path] = tmp_path.iterdir()
    (results,) = json.loads(path.read_text())["runs"]
    assert [row["what"] for row in results["rows"]] == ["podium --help"]
    assert len(results["failed"]) == 1
    assert {"versions", "commit", "started", "machine", "load"} <= results.keys()
