"""Trains the entry intel-b6: here with `python kernels/intel-b6/kernel.py`, or on Kaggle."""

from podium.run import train

if __name__ == "__main__":
    outcome = train("intel-b6")
    print(outcome)
