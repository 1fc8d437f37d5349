"""A run's files: the one place that knows their names and formats, and writes them whole."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from podium import paths
from podium.competitions.boxes import BOX_COLUMNS
from podium.files.atomic_write import (
    clear_all_leftovers,
    copy_whole,
    discard,
    write_csv,
    write_json,
)
from podium.files.locks import locked
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import RecipeError, parse_recipe
from podium.runs.fold_folder import FoldFolder, RunError, read_predictions
from podium.runs.schemas import Form, RunFile, ScoreFile, read_csv, read_json, read_json_if_there

MAX_NAME = 100  # characters of a run's name
NAME = re.compile(rf"\w[\w.-]{{,{MAX_NAME - 1}}}", re.ASCII)
OF_A_START = {"time_budget", "broken_images"}  # keys that each start of a run may choose anew


def run_name(entry: str, overrides: Iterable[str]) -> str:
    """The name of a run: that of the entry and what was changed in its recipe."""
    changes = [re.sub(r"[^\w.]+", "-", override, flags=re.A).strip("-") for override in overrides]
    name = "-".join([entry, *changes])
    return name if len(name) <= MAX_NAME else name_with_digest(name, name)


def name_with_digest(name: str, content: str) -> str:
    """A name of at most `MAX_NAME` characters that also depends on something else."""
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME - len(digest) - 1]}-{digest}"


def check_name(run: str) -> str:
    """The name of a run as it was given, seen to be no path; a new run's is of plain signs.

    Raises:
        RunError: it is a path, or the name of no run that is there and of other signs.
    """
    if not run.strip() or "\0" in run or run in (".", "..") or Path(run).name != run:
        raise RunError(f"run {run!r}: expected the name of a folder of weights/, not a path")
    if not NAME.fullmatch(run) and not RunFolder(paths.runs() / run).exists:
        signs = "signs of A to Z, a to z, 0 to 9, _, . and -, the first no . or -"
        raise RunError(f"run {run!r}: expected at most {MAX_NAME} {signs}; name it with --run")
    return run


@dataclass(frozen=True)
class RunFolder:
    """weights/<run>/: the recipe as run, the split, a folder per fold, the score."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def exists(self) -> bool:
        return (self.path / "run.json").is_file()

    @property
    def table(self) -> Path:
        return self.path / "pictures.csv"

    def fold(self, number: int) -> FoldFolder:
        return FoldFolder(self.path / f"fold-{number}")

    def finished_folds(self) -> list[int]:
        """The folds that are scored, and whose networks predicted the test images."""
        return [number for number in self._folds() if self.fold(number).finished]

    def scored_folds(self) -> list[int]:
        return [number for number in self._folds() if self.fold(number).scored]

    def _folds(self) -> list[int]:
        names = (place.name.removeprefix("fold-") for place in self.path.glob("fold-*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def leaky_folds(self) -> dict[int, str]:
        """The folds whose pseudo-labels leak labels that they score, and why."""
        known = {number: self.fold(number).pseudo_label_leak for number in self._folds()}
        return {number: why for number, why in known.items() if why}

    def begin(self, recipe: Recipe, about: dict[str, Any], fresh: bool) -> Recipe:
        """Make the folder of a new run, or make sure that this recipe may go on with the old one.

        Args:
            about: what else tells the run: entry, versions, commit, machine.
            fresh: begin again where there is a run.

        Returns:
            The recipe to go on with: a run keeps the `keep` that it began with, and each start
            may choose `OF_A_START` anew.

        Raises:
            RunError: the folder's run has another recipe, or is a soup. Nothing is overwritten.
        """
        if self.exists and fresh:
            with self.writing():
                discard(self.path)
        self.tidy()
        if not self.exists:
            self.write_run({"recipe": recipe.model_dump(), **about})
            return recipe
        if souped := self.read_souped():
            told = f"{self.path} is a soup of {', '.join(souped)}, which nothing is trained into"
            raise RunError(f"{told}: train under another name with --run NAME")
        stored = self.read_recipe()
        if stored.keep != recipe.keep:
            print(f'this run began with keep = "{stored.keep}", and goes on with it')
            recipe = recipe.model_copy(update={"keep": stored.keep})
        before, now = stored.model_dump(exclude=OF_A_START), recipe.model_dump(exclude=OF_A_START)
        changed = [key for key in now if before[key] != now[key]]
        if changed:
            key = changed[0]
            raise RunError(
                f"{self.path} is a run of another recipe: {key} was {before[key]!r}, is now "
                f"{now[key]!r}; train under another name with --run NAME, or anew with --fresh"
            )
        return recipe

    @contextmanager
    def writing(self, folds: Iterable[int] | None = None) -> Iterator[None]:
        """Be the one writer of these folds, or of the whole run, and clear what a kill left.

        Raises:
            Busy: another process writes one of them, and who.
        """
        with ExitStack() as held:
            if folds is None:
                held.enter_context(self.sharing(wait=False))
                begun = (path.stem for path in self._locks.glob("*.lock"))
                folds = sorted(int(fold) for fold in begun if fold.isdecimal())
            for fold in folds:
                path = self._locks / f"{fold}.lock"
                held.enter_context(locked(path, f"fold {fold} of {self.path}"))
            self.tidy()
            yield

    def sharing(self, wait: bool = True) -> AbstractContextManager[None]:
        """Be the one writer of what the folds share, for seconds: recipe, table, result."""
        return locked(self._locks / "run.lock", str(self.path), wait)

    @property
    def _locks(self) -> Path:
        """Beside the run, which may be replaced; nor are locks the output of a kernel."""
        folder = paths.scratch() if paths.kaggle() else self.path.parent
        return folder / ".locks" / self.name

    def tidy(self) -> None:
        """Remove what a kill left behind that nothing will read again."""
        clear_all_leftovers(self.path)
        for fold in self.scored_folds():
            self.fold(fold).delete_state()

    def read_run(self) -> dict[str, Any]:
        return read_json(self.path / "run.json", RunFile)

    def keep_declaration(self, path: Path | None) -> None:
        """Keep a copy of the file that describes the competition, so that the run opens anywhere.

        Args:
            path: None, or a file that is not there, where a class describes it.
        """
        mine = self.path / paths.DECLARATION
        if path is not None and path.is_file() and path != mine:
            copy_whole(path, mine)

    def write_run(self, run: dict[str, Any]) -> None:
        write_json(self.path / "run.json", run)

    def read_recipe(self) -> Recipe:
        """The recipe as run.

        Raises:
            RunError: it is missing, of an older Podium whose keys no longer exist, or a blend's.
        """
        run = self.read_run()
        if blended := self.read_blended():
            raise RunError(f"{self.path} is a blend of {', '.join(blended)}, not a training run")
        try:
            return parse_recipe(run.get("recipe", {}), source=str(self.path / "run.json"))
        except RecipeError as error:
            version = run.get("versions", {}).get("podium", "another version")
            raise RunError(
                f"{error}. This run was written by Podium {version}, nothing of it was changed; "
                "use that version, or train again under another name with --run NAME"
            ) from error

    def read_blended(self) -> list[str]:
        """The runs that a blend averages; none where networks were trained."""
        return self.read_run().get("runs", [])

    def read_souped(self) -> list[str]:
        """The runs whose weights a soup is made of; none where networks were trained."""
        return [each["run"] for each in self.read_run().get("soup", {}).get("runs", [])]

    def write_images(self, table: pd.DataFrame) -> None:
        """Write the table of training and test images with labels, folds and problems."""
        write_csv(self.table, table)

    def read_images(self) -> pd.DataFrame | None:
        if not self.table.is_file():
            return None
        text = dict.fromkeys(["id", "path", "problem", "part", "digest"], str)
        empty = {key: [""] for key in ("label", *BOX_COLUMNS)}
        return read_csv(self.table, ["id"], dtype=text, keep_default_na=False, na_values=empty)

    def changed_test_files(self, other: "RunFolder") -> int:
        """How many test images of two runs have the same id and different files.

        Those of older Podiums are taken to be the same, as their files are not known.
        """
        tests = (folder.read_images().query("part == 'test'") for folder in (self, other))
        known = (images.reindex(columns=["digest"]).replace("", None).dropna() for images in tests)
        here, there = (table["digest"] for table in known)
        here, there = here.align(there, join="inner")
        return int((here != there).sum())

    def digest_of_images(self, paths: Iterable[Path]) -> str:
        """What tells the stored training images and these files of theirs from any other ones."""
        sizes = [path.stat().st_size for path in tqdm(paths, "files", delay=2, leave=False)]
        table = self.read_images().query("part == 'train'").to_csv()
        return hashlib.sha256((table + json.dumps(sizes)).encode()).hexdigest()

    def write_checked(self, digest: str) -> None:
        """Remember that no near-copies are on both sides of the split, as far as these files go."""
        write_json(self.path / "checked.json", {"sha256": digest})

    def read_checked(self) -> str:
        return (read_json_if_there(self.path / "checked.json", Form) or {}).get("sha256", "")

    def write_probabilities(
        self, name: str, probabilities: pd.DataFrame, boxes: pd.DataFrame | None = None
    ) -> None:
        """Write `name` (out_of_fold or test): float32 by id, a column per class.

        Args:
            boxes: `BOX_COLUMNS` by id, beside the classes where the run finds them.
        """
        table = probabilities if boxes is None else probabilities.join(boxes)
        write_csv(self.path / f"{name}.csv", table)

    def read_probabilities(self, name: str) -> pd.DataFrame:
        return read_predictions(self.path / f"{name}.csv", ["id"])[0]

    def read_boxes(self, name: str) -> pd.DataFrame | None:
        """The boxes beside the probabilities, `BOX_COLUMNS` by id, in shares; None: no box head."""
        return read_predictions(self.path / f"{name}.csv", ["id"])[1]

    def delete_test(self) -> None:
        """Delete what was predicted of test images, by each fold and by all."""
        for place in (*(self.fold(number).path for number in self._folds()), self.path):
            (place / "test.csv").unlink(missing_ok=True)

    def write_score(self, score: dict[str, Any]) -> None:
        write_json(self.path / "score.json", score)

    def read_score(self) -> dict[str, Any]:
        return read_json(self.path / "score.json", ScoreFile)

    def read_thresholds(self) -> np.ndarray | None:
        """The thresholds of labels or the cut points of grades; None where none were fitted."""
        score = read_json_if_there(self.path / "score.json", ScoreFile) or {}
        return np.array(score["thresholds"]) if score.get("thresholds") else None
