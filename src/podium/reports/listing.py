"""Lists: the runs of weights/ with their scores, the entries of kernels/ with what they need."""

from dataclasses import dataclass
from typing import Any

from podium import paths
from podium.competitions import MissingData, get_competition
from podium.models.pretrained import find_weights, weights_file
from podium.predictions.combine import score_folds
from podium.predictions.score import Score
from podium.recipes.entries import Entry, all_entries
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import load_ensemble
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.text import format_table

TITLES = ("run", "entry", "folds", "score", "95 % interval", "images", "minutes", "blended in")


@dataclass(frozen=True)
class Line:
    """A run, as the overview lists it."""

    name: str
    competition: str
    entry: str
    folds: str  # trained, and how many there are
    score: Score | None  # None before the first fold is trained
    minutes: float | None  # of training and scoring; a blend has none
    weights: dict[str, float]  # of the runs that it blends
    leaky: bool = False  # its pseudo-labels leak what it scores

    def cells(self, blended_in: str) -> tuple[str, ...]:
        one = self.score
        scores = ("", "", "")
        if one:
            interval = f"{one.low:.4f} to {one.high:.4f}"
            leaky = " (leaky)" if self.leaky else ""
            scores = f"{one.metric} {one.value:.4f}{leaky}", interval, str(one.images)
        minutes = "" if self.minutes is None else f"{self.minutes:.1f}"
        return (self.name, self.entry, self.folds, *scores, minutes, blended_in)


def describe_runs(competition: str | None = None) -> str:
    """A table of the runs for each competition, the best score first.

    Args:
        competition: only its runs.

    Raises:
        ValueError: there is no competition of that name.
    """
    wanted = competition and get_competition(competition).name
    folders = [RunFolder(path.parent) for path in sorted(paths.runs().glob("*/run.json"))]
    lines, broken = [], []
    for folder in folders:
        try:
            lines.append(_read(folder))
        except (ValueError, KeyError, OSError) as error:  # one that cannot be read hides no other
            broken.append(f"{folder.name} cannot be read: {error}")
    tables = []
    for name in sorted({line.competition for line in lines}):
        if wanted in (None, name):
            tables.append(
                "\n".join(_table(name, [one for one in lines if one.competition == name]))
            )
    if not tables:
        tables = [f"no runs{f' of {wanted}' if wanted else ''} in {paths.runs()}"]
    return "\n\n".join([*tables, *(["\n".join(broken)] if broken else [])])


def _table(competition: str, lines: list[Line]) -> list[str]:
    sign = -1 if get_competition(competition).metric.higher_is_better else 1

    def place(line: Line) -> tuple[bool, float]:
        return line.score is None, sign * line.score.value if line.score else 0.0

    rows = [TITLES]
    for line in sorted(lines, key=place):
        using = (other.name for other in lines if other.weights.get(line.name))
        rows.append(line.cells(", ".join(using)))
    return [competition, *(f"  {line}" for line in format_table(rows))]


def _read(folder: RunFolder) -> Line:
    about = folder.read_run()
    if folder.read_blended():
        return _read_blend(folder, about)
    recipe = folder.read_recipe()
    folds = folder.scored_folds()
    seconds = [folder.fold(number).read_cost().get("seconds") for number in folds]
    return Line(
        folder.name,
        recipe.competition,
        about.get("entry", ""),
        f"{', '.join(map(str, folds)) or 'none'} of {len(recipe.fold_numbers)}",
        _score(folder, folds),
        sum(seconds) / 60 if folds and None not in seconds else None,  # an older Podium's has none
        {},
        bool(folder.leaky_folds()),
    )


def _read_blend(folder: RunFolder, about: dict[str, Any]) -> Line:
    score = folder.read_score()
    weights = {row["run"]: row["weight"] for row in score["runs"]}
    return Line(
        folder.name,
        about["competition"],
        about.get("entry", "a blend"),
        "",
        Score.from_dict(score["score"]),
        None,
        weights,
    )


def _score(folder: RunFolder, folds: list[int]) -> Score | None:
    """The run's score, of all folds that are scored by now."""
    if not folds:
        return None
    if (folder.path / "score.json").is_file():
        written = folder.read_score()
        if written["folds"] == folds:
            return Score.from_dict(written["score"])
    return score_folds(Run.open(folder), folds).score


def describe_entries() -> str:
    """A table of the entries: name, competition, backbone, machine, what is missing here."""
    rows = [("entry", "competition", "backbone", "meant for", "missing here")]
    for entry in all_entries():
        rows.append((entry.name, *_describe(entry)))
    return "\n".join(format_table(rows))


def _describe(entry: Entry) -> tuple[str, str, str, str]:
    """Competition, backbone, machine and what is missing."""
    if entry.is_ensemble:
        ensemble = load_ensemble(entry.recipe_file)
        missing = _missing_runs(ensemble.runs)
        what = f"{len(ensemble.runs)} runs"
        return ensemble.competition, what, entry.machine, ", ".join(missing) or "nothing"
    recipe = entry.recipe()
    missing = _missing(recipe)
    return recipe.competition, recipe.backbone, entry.machine, ", ".join(missing) or "nothing"


def _missing(recipe: Recipe) -> list[str]:
    """What the recipe needs and this machine does not have."""
    missing = []
    competition = get_competition(recipe.competition)
    try:
        competition.folder()
    except MissingData:
        missing.append(f"data in input/{competition.slug}")
    file = weights_file(recipe.backbone, recipe.weights)
    if file and find_weights(file) is None:
        missing.append(f"weights {file}")
    return missing + _missing_runs(recipe.needed_runs)


def _missing_runs(runs: list[str]) -> list[str]:
    return [f"run {run}" for run in runs if not RunFolder(paths.runs() / run).exists]
