from robustness.sample import sample_of

test_connections_that_keep_the_server_waiting_shut_nobody_out = sample_of("connections", slow=True)
