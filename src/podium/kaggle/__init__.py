"""Kernels built into one file, and the Kaggle client that pushes, collects, downloads, submits."""
