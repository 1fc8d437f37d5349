"""The average of several runs, judged on the pictures that all of them predict out of fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from podium import places
from podium.ensemble import EnsembleRecipe, is_ensemble, load_ensemble
from podium.entries import all_entries
from podium.machine import about_this_run
from podium.merge import CannotMerge, check_own, copy_whole
from podium.predictions.combine import write_submission
from podium.predictions.members import CannotBlend, Member, check_fit, read_member
from podium.predictions.score import Score, score
from podium.run_folder import RunFolder
from podium.whole_files import remove_leftovers, write_json

DEFAULT_NAME = "blend"
# All that a blend's folder holds. run.json is the last: it makes the folder a run.
FILES = ("pictures.csv", "out_of_fold.csv", "test.csv", "score.json", "run.json")


@dataclass(frozen=True)
class Average:
    """The mean of runs, and what it scores beside each of them on the same pictures."""

    members: list[Member]
    labels: pd.Series  # of the pictures that all predict out of fold
    out_of_fold: pd.DataFrame
    test: pd.DataFrame
    scores: list[Score]  # of each member
    score: Score

    def __str__(self) -> str:
        rows = [("run", self.score.metric, "95 % interval", "folds")]
        folds = [", ".join(map(str, member.folds)) for member in self.members]
        names = [member.name for member in self.members]
        for name, one, trained in zip(
            [*names, "their average"], [*self.scores, self.score], [*folds, ""], strict=True
        ):
            rows.append((name, f"{one.value:.4f}", f"{one.low:.4f} to {one.high:.4f}", trained))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        lines.append(f"on the {self.score.pictures} pictures that all of them predict out of fold")
        if len(set(folds) - {""}) > 1:
            lines.append(
                "warning: the runs differ in their trained folds; where some are missing, train "
                "them for a fair comparison"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Blended:
    """What a blend ends with."""

    folder: RunFolder
    average: Average
    submission: Path

    def __str__(self) -> str:
        return f"{self.average}\n\nrun         {self.folder.path}\nsubmission  {self.submission}"


def blend(runs: Sequence[str], to: Path | None = None) -> Blended:
    """Average the probabilities of runs by id, into a run folder and a submission of its own.

    Args:
        runs: names or paths of two runs or more, or the name of one entry that is an ensemble.
        to: path of the submission; the blend is named after it, or after the ensemble.

    Raises:
        RecipeError: the entry's recipe.toml is refused.
        RunError: a run is missing, is not finished, or does not fit the others.
    """
    about: dict[str, Any] = {}
    name = to.stem if to else DEFAULT_NAME
    if to and to.is_dir():
        raise CannotBlend(f"--to {to} is a folder: name the file of the submission")
    recipe = _ensemble(runs)
    if recipe:
        name = about["entry"] = runs[0]
        runs = recipe.runs
    members = [read_member(run) for run in runs]
    if recipe:
        _check_competition(recipe, members)
    check_fit(members)
    folder = RunFolder(places.runs() / name)
    _check_target(folder, members)
    average = average_runs(members)
    return Blended(folder, average, _write(folder, average, about, to))


def average_runs(members: list[Member]) -> Average:
    """The plain mean of the members' probabilities, by id.

    Raises:
        CannotBlend: no picture is predicted out of fold by all of them.
    """
    first = members[0]
    ids = first.out_of_fold.index
    for member in members[1:]:
        ids = ids[ids.isin(member.out_of_fold.index)]
    if ids.empty:
        raise CannotBlend(
            f"no picture is predicted out of fold by all of {_names(members)}: without one the "
            "average cannot be judged; train the same folds of each"
        )
    labels, metric = first.labels.loc[ids], first.competition.metric
    out_of_fold = _mean([member.out_of_fold for member in members], ids)
    return Average(
        members,
        labels,
        out_of_fold,
        test=_mean([member.test for member in members], first.test.index),
        scores=[score(metric, labels, member.out_of_fold.loc[ids]) for member in members],
        score=score(metric, labels, out_of_fold),
    )


def adopt_blend(part: RunFolder, into: RunFolder, fresh: bool = False) -> Path:
    """Take over a blend that was made elsewhere, and write its submission; returns its path.

    Args:
        part: where it was fetched to; it is only read.
        into: its folder here.
        fresh: replace a blend of that name which differs.

    Raises:
        RunError: it is no blend or damaged, or another run of that name is here.
    """
    for name in FILES:
        check_own(part, part.path / name)
    if not part.read_blended():
        raise CannotMerge(f"{part.path} is no blend")
    member = read_member(str(part.path))
    part.read_score()
    _check_target(into, [])
    if into.exists and not fresh:
        for name in FILES[:3]:
            if (into.path / name).read_bytes() != (part.path / name).read_bytes():
                raise CannotMerge(
                    f"{into.path} is a blend with another {name}: keep it, or replace it by that "
                    f"of {part.path} with --fresh"
                )
    remove_leftovers(into.path)
    (into.path / "run.json").unlink(missing_ok=True)
    for name in FILES:
        copy_whole(part.path / name, into.path / name)
    return write_submission(into, member.competition, member.test.index)


def _write(folder: RunFolder, average: Average, about: dict[str, Any], to: Path | None) -> Path:
    """Write the blend's folder and its submission; run.json, which makes it a run, last."""
    members = average.members
    competition, test_ids = members[0].competition, average.test.index
    remove_leftovers(folder.path)
    (folder.path / "run.json").unlink(missing_ok=True)
    parts = {"train": average.labels.to_frame(), "test": pd.DataFrame(index=test_ids)}
    folder.write_pictures(pd.concat(parts, names=["part", "id"]))
    folder.write_probabilities("out_of_fold", average.out_of_fold)
    folder.write_probabilities("test", average.test)
    judged = [
        {"run": member.name, "folds": member.folds, **one.as_dict()}
        for member, one in zip(members, average.scores, strict=True)
    ]
    folder.write_score({"score": average.score.as_dict(), "scored": "out-of-fold", "runs": judged})
    submission = write_submission(folder, competition, test_ids, to)
    about |= {"competition": competition.name, "runs": [member.name for member in members]}
    write_json(folder.path / "run.json", {**about, **about_this_run()})
    return submission


def _ensemble(runs: Sequence[str]) -> EnsembleRecipe | None:
    """The recipe of the entry that is named in place of runs, if one is."""
    if len(runs) > 1:
        return None
    files = {entry.name: entry.path / "recipe.toml" for entry in all_entries()}
    name = next(iter(runs), "")
    if name in files and is_ensemble(files[name]):
        return load_ensemble(files[name])
    ensembles = ", ".join(entry for entry, file in files.items() if is_ensemble(file))
    raise CannotBlend(
        (f"{name} alone is no blend: " if name else "")
        + f"name two runs or more, or an ensemble of kernels/ (there are: {ensembles or 'none'})"
    )


def _check_competition(recipe: EnsembleRecipe, members: list[Member]) -> None:
    for member in members:
        if member.competition.name != recipe.competition:
            raise CannotBlend(
                f"the ensemble is of {recipe.competition}, its run {member.name} of "
                f"{member.competition.name}"
            )


def _check_target(folder: RunFolder, members: list[Member]) -> None:
    """Refuse to write over a training run, or over a blend that is blended."""
    if not folder.exists:
        return
    if not folder.read_blended():
        raise CannotBlend(f"{folder.path} is a training run: name the blend otherwise, with --to")
    if folder.path.resolve() in [member.folder.path.resolve() for member in members]:
        raise CannotBlend(
            f"the blend would be written over its own run {folder.name}: name it otherwise, with "
            "--to"
        )


def _mean(tables: list[pd.DataFrame], ids: pd.Index) -> pd.DataFrame:
    """The mean by id: float32, rows sum to 1."""
    mean = np.mean([table.loc[ids].to_numpy(np.float64) for table in tables], axis=0)
    mean /= mean.sum(axis=1, keepdims=True)
    return pd.DataFrame(mean.astype(np.float32), index=ids, columns=tables[0].columns)


def _names(members: list[Member]) -> str:
    return ", ".join(member.name for member in members)
