"""Test-time augmentation, the score, and the submission."""
