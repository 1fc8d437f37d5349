"""`podium soup`: several checkpoints of a run, or of runs of one network, become one network."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from podium import paths
from podium.competitions import Competition, get_competition
from podium.data.table import read_table
from podium.files.atomic_write import remove_temp_files
from podium.predictions.combine import RunResult, assemble, average_tta, read_validation
from podium.predictions.score import Score, score, with_interval
from podium.runs.merge import copy_whole
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder, check_name
from podium.runs.table import HELD_OUT, Table
from podium.system import about_this_run, import_tensorflow
from podium.text import format_table
from podium.training.preflight import check_recipe
from podium.training.soup_members import CannotSoup, SoupRun, ingredients_of, read_runs


@dataclass(frozen=True)
class Gain:
    """What the soup scores above the best of its runs, with a 95 % interval (paired)."""

    over: str
    value: float  # positive where the soup is better
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{self.value:+.4f} against {self.over} (95 % interval {self.low:+.4f} to "
            f"{self.high:+.4f})"
        )


@dataclass(frozen=True)
class SoupResult:
    """What a soup ends with."""

    outcome: RunResult
    scores: dict[str, Score]  # by run, the soup last; on the same images in the same views
    gain: Gain

    @property
    def folder(self) -> RunFolder:
        return self.outcome.folder

    def __str__(self) -> str:
        first = next(iter(self.scores.values()))
        rows = [("run", first.metric, "95 % interval")]
        rows += [
            (name, f"{one.value:.4f}", f"{one.low:.4f} to {one.high:.4f}")
            for name, one in self.scores.items()
        ]
        lines = [*format_table(rows), f"on {first.images} images; the soup gains {self.gain}"]
        return "\n".join([*lines, "", str(self.outcome)])


def soup(runs: Sequence[str], name: str | None = None, fresh: bool = False) -> SoupResult:
    """Average weights of runs fold by fold, as far as that does no harm, into a run of its own.

    Each fold's choice is made on its validation images. The out-of-fold predictions are by
    choices that were made without the image: on the other half of its fold. The same call
    goes on where it was killed.

    Args:
        runs: names or paths; best weights and checkpoints of all of them are tried.
        name: of the soup's folder; by default the first run's name and "-soup".
        fresh: begin again where there is a soup of that name.

    Raises:
        RunError: the weights cannot be averaged, or another run of that name is there.
    """
    members = read_runs(list(runs))
    first = members[0]
    check_recipe(first.recipe, first.folder)
    competition = get_competition(first.recipe.competition)
    table = read_table(competition, first.folder)
    folder = RunFolder(paths.runs() / check_name(name or f"{first.name}-soup"))
    _begin(folder, members, fresh)
    to_do = [fold for fold in first.folds if fold not in folder.finished_folds()]
    if to_do:
        _make_folds(folder, members, competition, table, to_do)
    outcome = assemble(folder)
    scores, gain = _compare(outcome, members, competition, table)
    return SoupResult(outcome, scores, gain)


def _begin(folder: RunFolder, members: list[SoupRun], fresh: bool) -> None:
    """Make the soup's folder, or make sure that it is one of these very runs."""
    identities = [member.identity for member in members]
    if folder.name in [member.name for member in members]:
        raise CannotSoup(f"the soup cannot be called {folder.name} as one of its runs: --run NAME")
    if folder.exists:
        souped = folder.read_souped()
        if not souped:
            raise CannotSoup(f"{folder.path} is not a soup: name this one otherwise, --run NAME")
        if fresh:
            shutil.rmtree(folder.path)
        elif folder.read_run()["soup"]["runs"] != identities:
            same = souped == [member.name for member in members]
            raise CannotSoup(
                f"{folder.path} is a soup of {', '.join(souped)}"
                + ", which were trained again since" * same
                + ": begin again with --fresh, or name this one otherwise with --run NAME"
            )
    remove_temp_files(folder.path)
    first = members[0]
    if folder.read_images() is None:
        copy_whole(first.folder.path / "pictures.csv", folder.path / "pictures.csv")
    if not folder.exists:
        about = {"entry": first.folder.read_run().get("entry"), **about_this_run()}
        soup = {"runs": identities, "folds": []}
        folder.write_run({"recipe": first.recipe.model_dump(), **about, "soup": soup})


def _make_folds(
    folder: RunFolder,
    members: list[SoupRun],
    competition: Competition,
    table: Table,
    folds: list[int],
) -> None:
    import_tensorflow(members[0].recipe.threads)
    from podium.training.fold_runner import FoldRunner  # imports TensorFlow, which takes seconds
    from podium.training.fold_soup import FoldSoup

    recipe = members[0].recipe
    fold_run = FoldRunner(Run(folder, recipe, competition, table))
    for number, fold in enumerate(folds, start=1):
        ingredients = ingredients_of(members, fold)
        print(f"\nfold {fold} ({number} of {len(folds)}): {len(ingredients)} sets of weights")
        for member in members:
            if fold not in member.folds:
                print(f"{member.name} has not trained fold {fold}, or not kept its weights")
        _take_pseudo(folder, members, fold)
        _take_start(folder, members, fold)
        fold_soup = FoldSoup(fold_run, fold, ingredients)
        _record(folder, fold_soup.make())
        fold_soup.write_cost()
        fold_run.predict_test(fold, recipe.views)


def _take_pseudo(folder: RunFolder, members: list[SoupRun], fold: int) -> None:
    """Keep what joined the training, of the run whose score that made too good, if there is one."""
    folds = [member.folder.fold(fold) for member in members]
    labeled = [one for one in folds if one.read_pseudo() is not None]
    if labeled:
        kept = max(labeled, key=lambda one: bool(one.pseudo_label_leak))
        folder.fold(fold).write_pseudo(kept.read_pseudo())


def _take_start(folder: RunFolder, members: list[SoupRun], fold: int) -> None:
    """Keep which runs the networks stem from, each once."""
    runs = [row for member in members for row in member.folder.fold(fold).read_start()]
    if runs:
        unique = [row for number, row in enumerate(runs) if row not in runs[:number]]
        folder.fold(fold).write_start(unique)


def _record(folder: RunFolder, chosen: dict) -> None:
    """Add to run.json what was chosen in a fold."""
    run = folder.read_run()
    others = [row for row in run["soup"]["folds"] if row["fold"] != chosen["fold"]]
    run["soup"]["folds"] = sorted([*others, chosen], key=lambda row: row["fold"])
    folder.write_run(run)


def _compare(
    outcome: RunResult, members: list[SoupRun], competition: Competition, table: Table
) -> tuple[dict[str, Score], Gain]:
    """Score soup and runs on the images that all of them predict, in the soup's views."""
    metric, views = competition.metric, outcome.combined.views
    every = {}
    for name, folder in [*((m.name, m.folder) for m in members), (None, outcome.folder)]:
        folds = [n for n in outcome.combined.folds if folder.fold(n).scored]
        if folds:
            every[name or folder.name] = average_tta(read_validation(folder, folds), views)
    ids = pd.concat(every.values(), axis=1, join="inner").index
    held_out = table.train.index[table.train["fold"] == HELD_OUT]
    if len(held_out):  # which the run is scored by, being chosen on the others
        ids = ids[ids.isin(held_out)]
    labels = table.train["label"]
    scores = {name: score(metric, labels, one.loc[ids]) for name, one in every.items()}
    sign = 1 if metric.per_image_score else -1
    *names, soup = every
    over = max(names, key=lambda name: sign * scores[name].value)
    right = labels.loc[ids].to_numpy()
    mine, theirs = (metric.per_image(right, every[n].loc[ids].to_numpy()) for n in (soup, over))
    gain = with_interval("gain", sign * (mine - theirs))
    return scores, Gain(over, gain.value, gain.low, gain.high)
