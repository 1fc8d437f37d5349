from robustness.sample import sample_of

test_runs_that_are_killed_end_as_if_they_had_not_been = sample_of("kills")
