"""The sample competition: drawn vehicles in the layout of the cars, for the demo and the tests."""

from pathlib import Path

from podium import places
from podium.competitions.cars import Cars
from podium.competitions.sample_drawing import VEHICLES, draw_sample


class Sample(Cars):
    name = "sample"
    slug = "podium-sample"
    classes = VEHICLES
    get_it = "`podium sample`, which draws it"


def draw_sample_competition(overwrite: bool = False, seed: int = 0) -> tuple[Path, bool]:
    """Draw the sample into the project's input/; returns its folder and whether it was drawn."""
    folder = places.project() / "input" / Sample.slug
    if folder.is_dir() and not overwrite:
        return folder, False
    draw_sample(folder, seed=seed, overwrite=overwrite)
    return folder, True
