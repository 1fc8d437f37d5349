"""Made-up bytes break no reader: a small sample."""

from robustness.sample import sample_of

test_sample_holds_its_limits = sample_of("fuzz")
