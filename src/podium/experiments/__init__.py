"""Recipes side by side: compared, searched, and the learning-rate range test."""
