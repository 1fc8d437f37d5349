"""Soups: one network from the weights of several (arXiv:2203.05482)."""
