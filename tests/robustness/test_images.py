from robustness.sample import sample_of

test_damaged_images_are_read_right_or_named = sample_of("images")
