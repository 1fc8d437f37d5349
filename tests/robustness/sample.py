"""The small sample of a part, as `make test` runs it: a file a part, so that they spread out."""

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from robustness.figures import table


def sample_of(part: str, slow: bool = False) -> Callable[[Path], None]:
    """A test that runs the sample of a part and sees that every figure is within its limit."""

    def test(tmp_path: Path) -> None:
        figures = importlib.import_module(f"robustness.{part}").campaign(True, tmp_path)
        broken = [figure for figure in figures if figure.held is False]
        assert not broken, table(broken)
        assert any(figure.held for figure in figures), "a part that limits nothing"

    return pytest.mark.slow(test) if slow else test
