"""Trains this entry, as `podium train sample-b0` does; on Kaggle it is the kernel's code file."""

from podium.run import train

if __name__ == "__main__":
    print(train("sample-b0"))
