from robustness.sample import sample_of

test_another_machine_makes_the_same_bytes = sample_of("same_bytes", slow=True)
