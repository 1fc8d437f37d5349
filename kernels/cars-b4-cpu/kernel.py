"""Trains the entry cars-b4-cpu: here with `python kernels/cars-b4-cpu/kernel.py`, or on Kaggle."""

from podium.run import train

if __name__ == "__main__":
    outcome = train("cars-b4-cpu")
    print(outcome)
