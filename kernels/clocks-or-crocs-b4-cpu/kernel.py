"""Trains this entry, as `podium train clocks-or-crocs-b4-cpu` does; on Kaggle it is the kernel's code file."""

from podium.run import train

if __name__ == "__main__":
    print(train("clocks-or-crocs-b4-cpu"))
