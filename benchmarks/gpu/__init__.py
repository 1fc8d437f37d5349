"""Podium on one GPU, by Keras on JAX, within minutes: what it trains, predicts, and reaches there.

`python -m benchmarks.gpu --pack FOLDER` packs what such a machine must be brought; docs/speed.md
says what is measured.
"""
