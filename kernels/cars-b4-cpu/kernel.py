"""Trains this entry, as `podium train cars-b4-cpu` does; on Kaggle it is the kernel's code file."""

from podium.run import train

if __name__ == "__main__":
    print(train("cars-b4-cpu"))
