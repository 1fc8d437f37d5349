"""Folds and predictions on a Ray cluster: docs/cluster.md. Only `ray_pool.py` imports Ray."""
