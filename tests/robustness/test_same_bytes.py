"""Another machine makes the same bytes: a small sample."""

from pathlib import Path

import pytest

from robustness.sample import assert_sample_holds


@pytest.mark.slow
def test_sample_holds_its_limits(tmp_path: Path) -> None:
    assert_sample_holds("same_bytes", tmp_path)
