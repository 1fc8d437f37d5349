from robustness.sample import sample_of

test_made_up_bytes_break_no_reader = sample_of("fuzz")
