"""Trains the entry intel-scratch: here with `python kernels/intel-scratch/kernel.py`, or on Kaggle."""

from podium.run import train

if __name__ == "__main__":
    outcome = train("intel-scratch")
    print(outcome)
