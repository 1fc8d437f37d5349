"""Full disks and little memory end in one line: a small sample."""

import pytest

from robustness.sample import sample_of

test_sample_holds_its_limits = pytest.mark.slow(sample_of("limits"))
