"""Podium: Kaggle image classification from input/ to a submission, with scores to trust."""

__version__ = "0.1.0"
