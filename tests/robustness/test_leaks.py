"""Near-copies are found, and leaking splits refused: a small sample."""

from robustness.sample import sample_of

test_sample_holds_its_limits = sample_of("leaks")
