from robustness.sample import sample_of

test_time_budgets_hold = sample_of("budgets", slow=True)
