"""Trains this entry: the code of its kernel on Kaggle, and it runs here too."""

import sys

from podium.cli import app

if __name__ == "__main__":
    app(["train", "intel-b4", *sys.argv[1:]], standalone_mode=False)
