"""A run behind a page and an HTTP API: what comes in, in batches through its networks."""
