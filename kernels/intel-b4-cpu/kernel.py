"""Trains the entry intel-b4-cpu: here with `python kernels/intel-b4-cpu/kernel.py`, or on Kaggle."""

from podium.run import train

if __name__ == "__main__":
    outcome = train("intel-b4-cpu")
    print(outcome)
