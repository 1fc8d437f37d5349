from robustness.sample import sample_of

test_two_writers_of_one_record_lose_nothing = sample_of("writers", slow=True)
