"""The sample competition: drawn vehicles in the layout of the cars, for the demo and the tests."""

from pathlib import Path

from podium import paths
from podium.competitions.base import MissingData
from podium.competitions.cars import Cars
from podium.competitions.sample_drawing import VEHICLES, draw_sample


class Sample(Cars):
    name = "sample"
    slug = "podium-sample"
    classes = VEHICLES
    kaggle_source = None
    get_it = "`podium sample`, which draws it"
    draws_itself = True

    def folder(self) -> Path:
        """The drawn images; a kernel draws its own, so that it runs with nothing attached."""
        try:
            return super().folder()
        except MissingData:
            if paths.kaggle() is None:
                raise
            drawn = paths.scratch() / self.slug
            if not drawn.is_dir():
                draw_sample(drawn)
            return drawn


def draw_sample_competition(overwrite: bool = False, seed: int = 0) -> tuple[Path, bool]:
    """Draw the sample into the project's input/; returns its folder and whether it was drawn."""
    folder = paths.project() / "input" / Sample.slug
    if folder.is_dir() and not overwrite:
        return folder, False
    draw_sample(folder, seed=seed, overwrite=overwrite)
    return folder, True
