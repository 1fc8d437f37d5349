"""Trains the entry dogs-vs-cats-b6: here with `python kernels/dogs-vs-cats-b6/kernel.py`, or on Kaggle."""

from podium.run import train

if __name__ == "__main__":
    outcome = train("dogs-vs-cats-b6")
    print(outcome)
