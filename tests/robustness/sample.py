"""The small sample of a part, as `make test` runs it: a file a part, so that they spread out."""

import importlib
from pathlib import Path

from robustness.figures import table


def assert_sample_holds(part: str, folder: Path) -> None:
    """Run the sample of a part and see that every figure is within its limit."""
    figures = importlib.import_module(f"robustness.{part}").campaign(True, folder)
    broken = [figure for figure in figures if figure.held is False]
    assert not broken, table(broken)
    assert any(figure.held for figure in figures), "a part that limits nothing"
