from robustness.sample import sample_of

test_near_copies_are_found_and_leaking_splits_refused = sample_of("leaks")
