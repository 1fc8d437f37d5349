"""Full disks and little memory end in one line: a small sample."""

from robustness.sample import sample_of

test_sample_holds_its_limits = sample_of("limits")
