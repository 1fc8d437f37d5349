"""Trains the entry sample-b0: here with `python kernels/sample-b0/kernel.py`, or on Kaggle."""

from podium.run import train

if __name__ == "__main__":
    outcome = train("sample-b0")
    print(outcome)
