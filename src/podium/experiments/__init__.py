"""Recipes side by side."""
