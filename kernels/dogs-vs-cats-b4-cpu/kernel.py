"""Trains the entry dogs-vs-cats-b4-cpu: here with `python kernels/dogs-vs-cats-b4-cpu/kernel.py`, or on Kaggle."""

from podium.run import train

if __name__ == "__main__":
    outcome = train("dogs-vs-cats-b4-cpu")
    print(outcome)
