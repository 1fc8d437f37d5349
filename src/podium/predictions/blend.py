"""A blend: runs put together on out-of-fold evidence, a run folder and a submission of its own."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from podium import paths
from podium.files.atomic_write import atomic_write, remove_temp_files, write_json
from podium.predictions.blend_boxes import BlendedBoxes, blend_boxes
from podium.predictions.blend_evaluation import BlendEvaluation, judge, probability_table
from podium.predictions.blend_members import BlendRun, CannotBlend, read_member, read_pool
from podium.predictions.combine import write_submission
from podium.recipes.entries import all_entries
from podium.recipes.recipe_file import EnsembleRecipe, is_ensemble, load_ensemble
from podium.runs.merge import CannotMerge, check_own, copy_whole
from podium.runs.run_folder import RunFolder
from podium.system import about_this_run

DEFAULT_NAME = "blend"
RELIABILITY = "reliability.png"  # where the metric is log loss
# All that a blend's folder holds. run.json is the last: it makes the folder a run.
FILES = ("pictures.csv", "out_of_fold.csv", "test.csv", "score.json", "run.json")


@dataclass(frozen=True)
class BlendResult:
    """What a blend ends with."""

    folder: RunFolder
    judged: BlendEvaluation
    boxes: BlendedBoxes | None  # where the runs find boxes
    submission: Path

    def __str__(self) -> str:
        boxes = f"boxes       {self.boxes}\n" * (self.boxes is not None)
        return (
            f"{self.judged}\n{boxes}run         {self.folder.path}\nsubmission  {self.submission}"
        )


def blend(runs: Sequence[str], to: Path | None = None, common: bool = False) -> BlendResult:
    """Choose how to blend runs, out of fold, and write the blend as a run and a submission.

    Args:
        runs: names or paths of two runs or more, or the name of one entry that is an ensemble.
        to: path of the submission; the blend is named after it, or after the ensemble.
        common: judge on the images that all runs have out of fold, where some have more.

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
    pool = read_pool(runs, common)
    if recipe and pool.competition.name != recipe.competition:
        raise CannotBlend(
            f"the ensemble is of {recipe.competition}, its runs are of {pool.competition.name}"
        )
    folder = RunFolder(paths.runs() / name)
    _check_target(folder, pool.members)
    judged = judge(pool)
    boxes = blend_boxes(pool.members, pool.labels.index, pool.test_ids)
    return BlendResult(folder, judged, boxes, _write(folder, judged, boxes, about, to))


def adopt_blend(part: RunFolder, into: RunFolder, fresh: bool = False) -> Path:
    """Take over a blend that was made elsewhere, and write its submission; returns its path.

    Args:
        part: where it was fetched to; it is only read.
        into: its folder here.
        fresh: replace a blend of that name which differs.

    Raises:
        RunError: it is no blend or damaged, or another run of that name is here.
    """
    drawn = (part.path / RELIABILITY).is_file()
    for name in [*([RELIABILITY] * drawn), *FILES]:
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
    remove_temp_files(into.path)
    (into.path / "run.json").unlink(missing_ok=True)
    for name in [*([RELIABILITY] * drawn), *FILES]:
        copy_whole(part.path / name, into.path / name)
    return write_submission(into, member.competition, member.test.index)


def _write(
    folder: RunFolder,
    judged: BlendEvaluation,
    boxes: BlendedBoxes | None,
    about: dict[str, Any],
    to: Path | None,
) -> Path:
    """Write the blend's folder and its submission; run.json, which makes it a run, last."""
    pool, choice = judged.pool, judged.choice
    competition = pool.competition
    remove_temp_files(folder.path)
    (folder.path / "run.json").unlink(missing_ok=True)
    parts = {"train": pool.labels.to_frame(), "test": pd.DataFrame(index=pool.test_ids)}
    if boxes:
        stored = boxes.images
        for part, table in parts.items():
            parts[part] = table.join(stored[stored["part"] == part].drop(columns="part"))
    folder.write_images(pd.concat(parts, names=["part", "id"]))
    folder.write_probabilities("out_of_fold", judged.out_of_fold, boxes and boxes.out_of_fold)
    test = probability_table(choice(pool.test), pool.test_ids, competition)
    folder.write_probabilities("test", test, boxes and boxes.test)
    folder.write_score({**_summary(judged), "boxes": boxes and boxes.as_dict()})
    _write_reliability(folder, judged)
    submission = write_submission(folder, competition, pool.test_ids, to)
    about |= {"competition": competition.name, "runs": [member.name for member in pool.members]}
    write_json(folder.path / "run.json", {**about, **about_this_run()})
    return submission


def _summary(judged: BlendEvaluation) -> dict[str, Any]:
    """What score.json says of a blend."""
    choice, members = judged.choice, judged.pool.members
    runs = [
        {
            "run": member.name,
            "folds": member.folds,
            "weight": round(float(weight), 6),
            "temperature": round(calibration.temperature, 4),
            "floor": calibration.floor,
            **one.as_dict(),
        }
        for member, weight, calibration, one in zip(
            members, choice.weights, choice.preparation.calibrations, judged.scores, strict=True
        )
    ]
    methods = {
        name: {**one.as_dict(), "calibrated": calibrated and calibrated.as_dict()}
        for name, (one, calibrated) in judged.tried.items()
    }
    return {
        "score": judged.score.as_dict(),
        "scored": "out-of-fold, nested",
        "gain": {"over": members[judged.best].name, **judged.gain.as_dict()},
        "method": choice.method,
        "calibration": choice.calibration and asdict(choice.calibration),
        "runs": runs,
        "methods": methods,
    }


def _write_reliability(folder: RunFolder, judged: BlendEvaluation) -> None:
    """Draw how sure the blend is and how often right, before and after its calibration."""
    taken = judged.choice.tried[judged.choice.method]
    if taken.calibrated is None:
        (folder.path / RELIABILITY).unlink(missing_ok=True)  # of a blend that this one replaces
        return
    from podium.reports.sections.classes import draw_reliability  # matplotlib takes a second

    both = {"as blended": taken.blended, "calibrated": taken.calibrated}
    figure = draw_reliability(judged.pool.labels.to_numpy(), both)
    with atomic_write(folder.path / RELIABILITY) as part:
        figure.savefig(part, format="png", dpi=110)


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


def _check_target(folder: RunFolder, members: list[BlendRun]) -> None:
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
