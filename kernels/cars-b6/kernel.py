"""Trains the entry cars-b6: here with `python kernels/cars-b6/kernel.py`, or on Kaggle."""

from podium.run import train

if __name__ == "__main__":
    outcome = train("cars-b6")
    print(outcome)
