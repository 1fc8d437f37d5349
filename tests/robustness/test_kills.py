"""Runs that are killed end as if they had not been: a small sample."""

from robustness.sample import sample_of

test_sample_holds_its_limits = sample_of("kills")
