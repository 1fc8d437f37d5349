from robustness.sample import sample_of

test_hostile_files_are_refused = sample_of("strangers")
