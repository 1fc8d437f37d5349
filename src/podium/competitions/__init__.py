"""A file per dataset: the only place that knows a dataset's name."""

from pathlib import Path

from podium.competitions.base import Competition, MissingData, WrongSubmission
from podium.competitions.cars import Cars
from podium.competitions.clocks_or_crocs import ClocksOrCrocs
from podium.competitions.declared import DeclaredCompetition, declarations
from podium.competitions.dogs_vs_cats import DogsVsCats, DogsVsCatsOriginal
from podium.competitions.intel import Intel
from podium.competitions.pets import Pets
from podium.competitions.sample import Sample
from podium.recipes.recipe_file import read_toml
from podium.text import did_you_mean

__all__ = ["COMPETITIONS", "Competition", "MissingData", "WrongSubmission", "get_competition"]

ALL = Cars, ClocksOrCrocs, DogsVsCats, DogsVsCatsOriginal, Intel, Pets, Sample
COMPETITIONS: dict[str, Competition] = {competition.name: competition() for competition in ALL}


def get_competition(name: str, run: Path | None = None) -> Competition:
    """The competition of that name: a class, or declared by an entry or a run's copy of its file.

    Args:
        run: the folder of the run that asks, whose copy counts wherever it lies.

    Raises:
        ValueError: there is none, or its file is not as it should be.
    """
    if name in COMPETITIONS:
        return COMPETITIONS[name]
    known = dict.fromkeys(COMPETITIONS)
    for path in declarations(run):
        try:
            declared = str(read_toml(path).get("name"))
        except ValueError as error:  # it has no name, and is told in its place
            declared = str(error)
        if declared == name:
            return DeclaredCompetition(path)
        known[declared] = None
    raise ValueError(
        f"no competition {name!r}; there are: {', '.join(known)}{did_you_mean(name, known)}"
    )
