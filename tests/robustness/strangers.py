"""Files from strangers: code, paths and links in weights and arrays.

Each is offered at every door that takes such a file, and must be refused in one line that names it,
with no payload run and nothing written elsewhere. Archives are in tests/files/test_archives.py, run
folders that are links in tests/runs/test_merge.py; the secrets that are planted in entries, in
planted_secrets.py.
"""

import shutil
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from podium.recipes.recipe_file import parse_recipe
from podium.runs.fold_folder import FoldFolder, load_weights
from robustness import hostile
from robustness.figures import Figure, say
from robustness.planted_secrets import secret_figures


@dataclass
class Tally:
    """What was tried, and what came of it."""

    folder: Path
    tried: int = 0
    trouble: list[str] = field(default_factory=list)  # not refused, or not as it should be
    escaped: list[str] = field(default_factory=list)  # ran, or wrote elsewhere

    def __post_init__(self) -> None:
        self.outside = self.folder / "outside"
        self.outside.mkdir(parents=True)
        with h5py.File(self.outside / "secret", "w") as file:
            file["kernel"] = np.frombuffer(b"keys", np.uint8)
        self.canary = self.outside / "ran"
        self._before = self._now()

    def refused(self, what: str, attempt: Callable[[], object], named: str) -> None:
        """Try it; the refusal must be a line with this in it, and leave all else as it was."""
        self.tried += 1
        try:
            attempt()
        except (ValueError, OSError) as error:
            said = str(error)
            if "\n" in said or named not in said or len(said) < len(named) + 20:
                self.trouble.append(f"{what}: says {said!r}")
        except Exception as error:
            self.trouble.append(f"{what}: {type(error).__name__}: {error}")
        else:
            self.trouble.append(f"{what}: was taken")
        if self._now() != self._before or list(self.folder.rglob("evil*")):
            self.escaped.append(what)
            self._before = self._now()

    def _now(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.outside.iterdir()}


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    tally = Tally(scratch)
    counts = {}
    for part in (of_weights, of_arrays):
        before = tally.tried
        with chdir(scratch):
            part(tally, scratch)
        counts[part.__name__.removeprefix("of_")] = tally.tried - before
        say(f"{part.__name__}: {tally.tried - before} tried")
    return [
        *secret_figures(quick),
        Figure("hostile files and names tried", tally.tried, "≥ 100", note=str(counts)),
        Figure.of_failures("taken, or refused without a clear line", tally.trouble),
        Figure.of_failures("payloads that ran, or wrote elsewhere", tally.escaped),
    ]


def of_weights(tally: Tally, scratch: Path) -> None:
    """Given in a recipe, or lying in a run folder as best weights or as a checkpoint."""
    from podium.training.preflight import check_recipe

    fold = FoldFolder(scratch / "run" / "fold-0")
    fold.checkpoint(1).parent.mkdir(parents=True)
    for what, ending, make in hostile.weights(tally.canary, tally.outside / "secret"):
        path = scratch / f"stranger{ending}"
        make(path)
        data = {"competition": "cars", "backbone": "resnet-small", "weights": str(path)}
        recipe = parse_recipe(data, "here")
        tally.refused(f"recipe: {what}", lambda r=recipe: check_recipe(r), path.name)
        shutil.copy(path, fold.weights)
        shutil.copy(path, fold.checkpoint(1))
        path.unlink()
        if ending == ".weights.h5":  # what is refused there for its name alone is none here
            tally.refused(f"run: {what}", lambda: fold.read_weights(None), fold.weights.name)
            checkpoint = fold.checkpoint(1)
            tally.refused(
                f"checkpoint: {what}", partial(load_weights, None, checkpoint), checkpoint.name
            )


def of_arrays(tally: Tally, scratch: Path) -> None:
    """In the place of a run's state and of what its OOD detector has learned."""
    fold = FoldFolder(scratch / "arrays" / "fold-0")
    fold.path.mkdir(parents=True)
    fold.weights.write_bytes(b"weights")
    for what, make in hostile.arrays(tally.canary):
        for path, read in (
            (fold.path / "state.npz", fold.read_progress),
            (fold.path / "state.npz", fold.read_arrays),
            (fold.path / "unlikeness.npz", fold.read_ood),
        ):
            make(path)
            tally.refused(f"{path.name}: {what}", read, path.name)
