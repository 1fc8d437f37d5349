"""The campaign says which limit was not held, and fails where a part does not run."""

import sys
from pathlib import Path

import pytest

from robustness import __main__ as robustness
from robustness.figures import Figure, table


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
