"""Commands that are killed and called again lose nothing: a small sample."""

from robustness.sample import sample_of

test_sample_holds_its_limits = sample_of("commands")
