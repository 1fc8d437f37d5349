"""The folders of a dataset that nobody has described yet: which images lie in which of them."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from podium.competitions.csv_files import MissingData


class Folders:
    """A dataset's folder, all of its images, and the folder below which both begin.

    That is where something is beside something: an archive's own folder stands alone.
    """

    def __init__(self, folder: Path, images: list[Path]) -> None:
        self.folder, self.images = folder, images
        self.root = folder
        while len(inside := _mentioned(self.root)) == 1 and inside[0].is_dir():
            if "" in self.images_by_folder(inside[0]):
                break
            self.root = inside[0]

    def images_by_folder(self, place: Path, images: Iterable[Path] | None = None) -> Counter[str]:
        """Images below each subfolder, by its name; "" counts those in the folder itself."""
        images = self.images if images is None else images
        below = [path.relative_to(place).parts for path in images if path.is_relative_to(place)]
        return Counter(parts[0] if len(parts) > 1 else "" for parts in below)

    def single(self, place: Path) -> Path:
        """The folder, or the only one in it that has images: Kaggle nests some twice."""
        while len(inside := self.images_by_folder(place)) == 1 and "" not in inside:
            place /= next(iter(inside))
        return place

    def folder_of(self, ids: set[str], called: re.Pattern[str]) -> Path:
        """The deepest folder with all of the images that have these ids.

        Where several have them, as train/1.png and test/1.png, one that is called so is taken.
        """
        known = ids & keys_of(self.images)
        inside: dict[str, list[Path]] = {}
        for path in self.images:
            if (path.name in ids or path.stem in ids) and path.parent != self.root:
                inside.setdefault(path.relative_to(self.root).parts[0], []).append(path)
        for name in sorted(inside, key=lambda one: not called.search(one)):
            if known <= keys_of(inside[name]):
                return self.single(self.root / name)
        return self.root

    def told(self, option: str, name: str) -> Path:
        """A path that the user gave, from the folder of the data or from here, in that folder.

        Raises:
            MissingData: it is not there.
        """
        for path in (self.folder / name, self.root / name):
            if path.exists() and path.is_relative_to(self.folder):
                return path
        here, folder = Path(name).resolve(), self.folder.resolve()
        if here.exists() and here.is_relative_to(folder):
            return self.folder / here.relative_to(folder)
        raise MissingData(
            f"{option} {name}: there is no such thing in {self.folder}: give a path in it, or by "
            "--data a folder that holds both"
        )

    def relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def name(self, path: Path) -> str:
        """A folder as it is told: from the folder of the data."""
        return "the folder itself" if path == self.folder else f"{self.relative(path)}/"


def keys_of(images: Iterable[Path]) -> set[str]:
    """What a cell may call images: their names, with and without ending."""
    return {name for path in images for name in (path.name, path.stem)}


def _mentioned(folder: Path) -> list[Path]:
    """What is in a folder, without what systems leave there."""
    return [path for path in folder.iterdir() if not path.name.startswith((".", "__"))]
