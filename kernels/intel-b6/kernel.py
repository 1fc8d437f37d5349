"""Trains this entry, as `podium train intel-b6` does; on Kaggle it is the kernel's code file."""

from podium.run import train

if __name__ == "__main__":
    print(train("intel-b6"))
