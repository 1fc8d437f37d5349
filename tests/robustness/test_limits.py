from robustness.sample import sample_of

test_full_disks_and_little_memory_end_in_one_line = sample_of("limits", slow=True)
