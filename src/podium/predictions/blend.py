"""A blend: runs put together on out-of-fold evidence, a run folder and a submission of its own."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from podium import paths
from podium.competitions.boxes import BOX_COLUMNS, BOX_METRICS
from podium.files.atomic_write import copy_whole, write_json
from podium.predictions.blend_members import Pool, read_member, read_pool
from podium.predictions.blend_selection import BlendChoice, choose, nested
from podium.predictions.combine import write_submission
from podium.predictions.decisions import judge
from podium.predictions.score import Score, direction, paired_gain, score
from podium.recipes.entries import all_entries
from podium.recipes.recipe_file import EnsembleRecipe, load_ensemble
from podium.runs.find_run import without_links
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder, check_name
from podium.runs.table import SIZE_COLUMNS
from podium.system import about_this_run
from podium.text import format_table

# All files of a blend's folder. run.json is the last: it makes the folder a run.
FILES = ("pictures.csv", "out_of_fold.csv", "test.csv", "score.json", "run.json")


@dataclass(frozen=True)
class BlendedBoxes:
    """The mean of the boxes of those runs that find some; nothing is chosen."""

    runs: dict[str, float]  # the mean IoU of each run alone
    scores: list[Score]
    out_of_fold: pd.DataFrame  # `BOX_COLUMNS` by id
    test: pd.DataFrame
    images: pd.DataFrame  # part, annotated box, width and height of all images, by id


@dataclass(frozen=True)
class BlendResult:
    """A chosen blend, its score beside each run's on the same images, and its submission."""

    folder: RunFolder
    pool: Pool
    choice: BlendChoice
    out_of_fold: pd.DataFrame  # each image by a blend that was chosen and fitted without it
    scores: list[Score]  # of each run alone
    methods: dict[str, tuple[Score, Score | None]]  # cross-validated; calibrated
    score: Score  # of the whole procedure, nested
    best: str  # the best single run
    gain: Score  # over it
    thresholds: list[float]  # of labels or grades, where the metric is of answers
    boxes: BlendedBoxes | None  # where the runs find boxes
    submission: Path

    def __str__(self) -> str:
        runs = [("run", self.score.metric, "95 % interval", "folds", "weight")]
        parts = zip(self.pool.members, self.scores, self.choice.weights, strict=True)
        for member, one, weight in parts:
            folds = ", ".join(map(str, member.folds))
            runs.append((member.name, *one.cells, folds, f"{weight:.3f}"))
        titles = ["blended by", self.score.metric, "95 % interval"]
        if any(calibrated for _, calibrated in self.methods.values()):
            titles += ["calibrated", "95 % interval"]
        methods = [(*titles, "")]
        for name, (one, calibrated) in self.methods.items():
            is_taken = name == self.choice.method
            taken = "taken: the simplest within noise of the best" if is_taken else ""
            methods.append((name, *one.cells, *(calibrated.cells if calibrated else ()), taken))
        calibration, gain = self.choice.calibration, self.gain
        noise = ", within noise" if round(gain.low, 4) <= 0 <= round(gain.high, 4) else ""
        lines = [
            *[*format_table(runs), "", *format_table(methods), ""],
            f"blend       {self.choice.method}{f', {calibration}' if calibration else ''}",
            f"score       {self.score}, all of it chosen and fitted on other images",
            f"gain        {gain.value:+.4f} over {self.best}, the best single run "
            f"(95 % interval {gain.low:+.4f} to {gain.high:+.4f}{noise})",
        ]
        if self.boxes:
            alone = ", ".join(f"{name} {value:.4f}" for name, value in self.boxes.runs.items())
            lines.append(f"boxes       {self.boxes.scores[0]}, the mean of {alone}")
        lines += [f"run         {self.folder.path}", f"submission  {self.submission}"]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Run and submission, and what score.json holds."""
        return {"run": self.folder.name, "submission": str(self.submission), **self.score_file()}

    def score_file(self) -> dict[str, Any]:
        """The content of score.json."""
        choice, boxes, members = self.choice, self.boxes, self.pool.members
        parts = zip(members, choice.weights, choice.calibrations, self.scores, strict=True)
        runs = [
            {
                "run": member.name,
                "folds": member.folds,
                "weight": round(float(weight), 6),
                "temperature": round(calibration.temperature, 4),
                "floor": calibration.floor,
                **one.as_dict(),
            }
            for member, weight, calibration, one in parts
        ]
        methods = {
            name: {**one.as_dict(), "calibrated": calibrated and calibrated.as_dict()}
            for name, (one, calibrated) in self.methods.items()
        }
        return {
            "score": self.score.as_dict(),
            "scored": "out-of-fold, nested",
            "widening": self.pool.widening,
            "gain": {"over": self.best, **self.gain.as_dict()},
            "method": choice.method,
            "calibration": choice.calibration and asdict(choice.calibration),
            "runs": runs,
            "fitted": choice.as_dict(),
            "thresholds": self.thresholds,
            "methods": methods,
            "boxes": boxes
            and {"runs": boxes.runs, "scores": [one.as_dict() for one in boxes.scores]},
        }


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
    if to and to.is_dir():
        raise RunError(f"--to {to} is a folder: name the file of the submission")
    recipe = _ensemble(runs) if len(runs) < 2 else None
    pool = read_pool(recipe.runs if recipe else runs, common)
    if recipe and pool.competition.name != recipe.competition:
        raise RunError(f"{runs[0]} is of {recipe.competition}, not {pool.competition.name}")
    name = runs[0] if recipe else to.stem if to else "blend"
    folder = RunFolder(paths.runs() / check_name(name))
    _check_target(folder)
    if folder.path.resolve() in [member.folder.path.resolve() for member in pool.members]:
        raise RunError(f"the blend would replace its own run {name}: name it otherwise, with --to")
    with folder.writing():
        blended = _evaluate(pool, folder, to or paths.submission(name))
        _write(blended, {"entry": name} if recipe else {})
    return blended


def adopt_blend(part: RunFolder, into: RunFolder, fresh: bool = False) -> Path:
    """Take over a blend that was made elsewhere, and write its submission; returns its path.

    Args:
        part: where it was fetched to; it is only read.
        into: its folder here.
        fresh: replace another blend of that name.

    Raises:
        RunError: it is no blend or damaged, or another run of that name is here.
    """
    if not without_links(part).read_blended():
        raise RunError(f"{part.path} is no blend")
    member = read_member(str(part.path))
    part.read_score()
    _check_target(into)
    if into.exists and not fresh:
        for name in FILES[:3]:
            if (into.path / name).read_bytes() != (part.path / name).read_bytes():
                raise RunError(f"{into.path} has another {name}: replace it with --fresh")
    (into.path / "run.json").unlink(missing_ok=True)
    for name in FILES:
        copy_whole(part.path / name, into.path / name)
    return write_submission(into, member.competition)


def _ensemble(runs: Sequence[str]) -> EnsembleRecipe:
    """The recipe of the entry that is named in place of runs."""
    ensembles = {one.name: one.recipe_file for one in all_entries() if one.is_ensemble}
    if runs and runs[0] in ensembles:
        return load_ensemble(ensembles[runs[0]])
    raise RunError(
        (f"{runs[0]} alone is no blend: " if runs else "")
        + "name two runs or more, or an ensemble of kernels/ "
        f"(there are: {', '.join(ensembles) or 'none'})"
    )


def _check_target(folder: RunFolder) -> None:
    """Refuse to write over a training run."""
    if folder.exists and not folder.read_blended():
        raise RunError(f"{folder.path} is a training run: name the blend otherwise, with --to")


def _evaluate(pool: Pool, folder: RunFolder, submission: Path) -> BlendResult:
    """Choose the blend of these runs, and score it on images that had no part in the choice."""
    competition, groups = pool.competition, pool.groups
    metric, task = competition.metric, competition.task
    labels = competition.truth(pool.labels)
    truth = labels.to_numpy()

    def scored(predicted: np.ndarray | None) -> Score | None:
        if predicted is None:
            return None
        answers, _ = judge(metric, task, truth, predicted)
        table = _table(answers, labels.index, pool)
        return score(metric, labels, table, groups).widened(pool.widening)

    scores = [scored(run) for run in pool.out_of_fold]
    best = max(range(len(scores)), key=lambda run: direction(metric) * scores[run].value)
    choice = choose(pool.out_of_fold, truth, metric)
    blended = nested(pool.out_of_fold, truth, metric)
    answers, thresholds = judge(metric, task, truth, blended)
    single, _ = judge(metric, task, truth, pool.out_of_fold[best])
    return BlendResult(
        folder=folder,
        pool=pool,
        choice=choice,
        out_of_fold=_table(blended, labels.index, pool),
        scores=scores,
        methods={
            name: (scored(one.blended), scored(one.calibrated))
            for name, one in choice.candidates.items()
        },
        score=scored(blended),
        best=pool.members[best].name,
        gain=paired_gain(metric, truth, answers, single, groups),
        thresholds=thresholds,
        boxes=_blend_boxes(pool),
        submission=submission,
    )


def _blend_boxes(pool: Pool) -> BlendedBoxes | None:
    """Average the boxes of the runs that find some; None if there are none."""
    found = {
        member.folder: boxes.loc[pool.labels.index]
        for member in pool.members
        if (boxes := member.folder.read_boxes("out_of_fold")) is not None
    }
    if not found:
        return None
    columns = list(BOX_COLUMNS)
    images = next(iter(found)).read_images()[["part", *columns, *SIZE_COLUMNS]]
    truth = images.loc[images["part"] == "train", columns]
    runs = {run.name: score(BOX_METRICS[0], truth, boxes).value for run, boxes in found.items()}
    mean = sum(found.values()) / len(found)
    scores = [
        score(metric, truth, mean, pool.groups).widened(pool.widening) for metric in BOX_METRICS
    ]
    tests = [run.read_boxes("test").loc[pool.test_ids] for run in found]
    return BlendedBoxes(runs, scores, mean, sum(tests) / len(tests), images)


def _write(blended: BlendResult, about: dict[str, Any]) -> None:
    """Write the blend's folder and its submission; run.json, which makes it a run, last."""
    folder, pool, boxes = blended.folder, blended.pool, blended.boxes
    (folder.path / "run.json").unlink(missing_ok=True)  # it is no blend until that is there again
    train = pool.labels.to_frame()
    if pool.groups is not None:
        train["group"] = pool.groups
    stored = pool.members[0].folder.read_images().query("part == 'test'")
    parts = {"train": train, "test": stored.reindex(pool.test_ids).reindex(columns=["digest"])}
    if boxes:
        for part, table in parts.items():
            parts[part] = table.join(boxes.images.query("part == @part").drop(columns="part"))
    folder.write_images(pd.concat(parts, names=["part", "id"]))
    folder.write_probabilities("out_of_fold", blended.out_of_fold, boxes and boxes.out_of_fold)
    test = _table(blended.choice(pool.test), pool.test_ids, pool)
    folder.write_probabilities("test", test, boxes and boxes.test)
    folder.write_score(blended.score_file())
    write_submission(folder, pool.competition, blended.submission)
    folder.keep_declaration(pool.competition.declared_in)
    about |= {"competition": pool.competition.name, "runs": [one.name for one in pool.members]}
    write_json(folder.path / "run.json", {**about, **about_this_run()})


def _table(probabilities: np.ndarray, ids: pd.Index, pool: Pool) -> pd.DataFrame:
    """float32 by id, a column per output."""
    columns = pool.competition.outputs
    return pd.DataFrame(probabilities.astype(np.float32), index=ids, columns=columns)
