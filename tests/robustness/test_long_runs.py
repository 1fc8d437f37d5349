from robustness.sample import sample_of

test_long_runs_do_not_grow = sample_of("long_runs", slow=True)
