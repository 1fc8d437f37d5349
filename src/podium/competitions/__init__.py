"""A file per dataset: the only place that knows a dataset's name."""

from podium.competitions.base import Competition, MissingData, WrongSubmission
from podium.competitions.cars import Cars
from podium.competitions.clocks_or_crocs import ClocksOrCrocs
from podium.competitions.dogs_vs_cats import DogsVsCats, DogsVsCatsOriginal
from podium.competitions.intel import Intel
from podium.competitions.pets import Pets
from podium.competitions.sample import Sample
from podium.text import did_you_mean

__all__ = ["COMPETITIONS", "Competition", "MissingData", "WrongSubmission", "get_competition"]

ALL = Cars, ClocksOrCrocs, DogsVsCats, DogsVsCatsOriginal, Intel, Pets, Sample
COMPETITIONS: dict[str, Competition] = {competition.name: competition() for competition in ALL}


def get_competition(name: str) -> Competition:
    """The competition of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in COMPETITIONS:
        raise ValueError(
            f"no competition {name!r}; there are: {', '.join(COMPETITIONS)}"
            + did_you_mean(name, COMPETITIONS)
        )
    return COMPETITIONS[name]
