"""Full disks and little memory end in one line: a small sample."""

from pathlib import Path

from robustness.sample import assert_sample_holds


def test_sample_holds_its_limits(tmp_path: Path) -> None:
    assert_sample_holds("limits", tmp_path)
