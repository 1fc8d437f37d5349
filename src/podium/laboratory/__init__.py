"""Experiments: runs that differ in a few keys of the recipe, compared or searched."""
