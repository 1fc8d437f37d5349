"""Trains the entry clocks-or-crocs-b4-cpu: here with `python kernels/clocks-or-crocs-b4-cpu/kernel.py`, or on Kaggle."""

from podium.run import train

if __name__ == "__main__":
    outcome = train("clocks-or-crocs-b4-cpu")
    print(outcome)
