"""`Run`: a run that was opened once and is handed on."""

from dataclasses import dataclass

from podium.competitions import Competition, get_competition
from podium.recipes.recipe import Recipe
from podium.runs.run_folder import RunFolder
from podium.runs.table import Table, stored_table


@dataclass(frozen=True)
class Run:
    """What every step of a run needs: its folder, recipe, competition and table of images."""

    folder: RunFolder
    recipe: Recipe
    competition: Competition
    table: Table  # with paths where the images were located: see data/table.py

    @classmethod
    def open(cls, folder: RunFolder) -> "Run":
        """Read a trained run from its folder alone; the images are not needed.

        Raises:
            RunError: it is a blend, has no table of images, or is damaged.
            LeakingSplit: its split has near-identical images on both sides.
        """
        recipe = folder.read_recipe()
        competition = get_competition(recipe.competition, folder.path)
        return cls(folder, recipe, competition, stored_table(folder))

    def image_size(self, fold: int) -> int:
        """The side that a fold's network predicts at, pixels: that which its weights learned at."""
        return self.recipe.stage_size(self.folder.fold(fold).weights_stage)

    @property
    def name(self) -> str:
        return self.folder.name
