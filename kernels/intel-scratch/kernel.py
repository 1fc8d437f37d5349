"""Trains this entry, as `podium train intel-scratch` does; on Kaggle it is the kernel's code file."""

from podium.run import train

if __name__ == "__main__":
    print(train("intel-scratch"))
