"""A run behind a web page and an HTTP API."""
