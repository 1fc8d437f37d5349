from robustness.sample import sample_of

test_commands_that_are_killed_and_called_again_lose_nothing = sample_of("commands", slow=True)
