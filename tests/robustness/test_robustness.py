"""A small sample of each part of the campaign holds its limits."""

import importlib
import sys
from pathlib import Path

import pytest

from robustness import __main__ as robustness
from robustness.figures import Figure, table

SLOW = {"same_bytes", "long_runs", "budgets"}  # more than a quarter of a minute


def test_figure_is_compared_with_its_limit() -> None:
    assert Figure("runs", 100, "= 100").held is True
    assert Figure("difference", 2e-5, "≤ 1e-5").held is False
    assert Figure("share", 0.001, "< 0.001").held is False
    assert Figure("seconds", 3.0).held is None
    text = table([Figure.of_failures("runs that ended", ["the one killed at noon"], tried=3)])
    assert "NO" in text
    assert "runs that ended: of 3; the one killed at noon" in text


def test_part_that_does_not_run_fails_the_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["robustness", "no_such_part", "--quick", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    assert robustness.main() == 1
    assert "FAILED no_such_part" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[pytest.mark.xdist_group(name), *([pytest.mark.slow] if name in SLOW else [])],
        )
        for name in robustness.PARTS
    ],
)
def test_sample_holds_its_limits(name: str, tmp_path: Path) -> None:
    figures = importlib.import_module(f"robustness.{name}").campaign(True, tmp_path)
    broken = [figure for figure in figures if figure.held is False]
    assert not broken, table(broken)
    assert any(figure.held for figure in figures), "a part that limits nothing"
