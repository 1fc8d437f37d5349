"""Made-up bytes break no reader: a small sample."""

from pathlib import Path

from robustness.sample import assert_sample_holds


def test_sample_holds_its_limits(tmp_path: Path) -> None:
    assert_sample_holds("fuzz", tmp_path)
