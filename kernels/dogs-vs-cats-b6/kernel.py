"""Trains this entry: the code file of its kernel on Kaggle, and it runs here too."""

from podium.run import train

if __name__ == "__main__":
    print(train("dogs-vs-cats-b6"))
