"""Backbones, heads, and which layers a stage trains."""
