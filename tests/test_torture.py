"""A small sample of each part of the campaign holds its limits."""

import importlib
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # torture/ is no part of what is installed

from torture import __main__ as torture  # noqa: E402
from torture.figures import Figure, table  # noqa: E402


def test_a_figure_knows_whether_it_held() -> None:
    assert Figure("runs", 100, "= 100").held is True
    assert Figure("difference", 2e-5, "≤ 1e-5").held is False
    assert Figure("share", 0.95, "≥ 0.95").held is True
    assert Figure("share", 0.001, "< 0.001").held is False
    assert Figure("seconds", 3.0).held is None
    text = table([Figure("runs", 99, "= 100", note="the one killed at noon")])
    assert "NO" in text
    assert "runs: the one killed at noon" in text


def test_a_part_that_does_not_run_fails_the_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["torture", "no_such_part", "--quick", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    assert torture.main() == 1
    assert "FAILED no_such_part" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", torture.PARTS)
def test_each_part_holds_at_a_small_size(name: str, tmp_path: Path) -> None:
    figures = importlib.import_module(f"torture.{name}").campaign(True, tmp_path)
    assert figures
    broken = [figure for figure in figures if figure.held is False]
    assert not broken, table(broken)
    assert any(figure.held for figure in figures), "a part that limits nothing"
    assert json.dumps([figure.as_json() for figure in figures])
