"""Lists: the runs of weights/ with their scores, the entries of kernels/ with what they need."""

import math
from dataclasses import dataclass, field

from podium import paths
from podium.competitions import MissingData, get_competition
from podium.models.pretrained import find_weights, weights_file
from podium.predictions.combine import score_folds
from podium.predictions.score import Score, direction
from podium.recipes.entries import Entry, all_entries
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import load_ensemble
from podium.reports.run_data import written_results
from podium.runs.find_run import without_links
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.text import format_table, single_line

TITLES = ("run", "entry", "folds", "score", "95 % interval", "images", "minutes", "blended in")


@dataclass(frozen=True)
class Line:
    """A run in the list."""

    name: str
    competition: str
    entry: str
    score: Score | None = None  # None before the first fold is trained
    folds: str = ""  # trained, and how many there are
    minutes: str = ""  # of training and scoring
    remark: str = ""
    blend: dict[str, float] = field(default_factory=dict)  # weights of the runs that it blends

    def cells(self, others: list["Line"]) -> tuple[str, ...]:
        one, scores = self.score, ("", "", "")
        if one:
            value, interval = one.cells
            scores = f"{one.metric} {value}{self.remark}", interval, str(one.images)
        blended_in = ", ".join(other.name for other in others if other.blend.get(self.name))
        return self.name, self.entry, self.folds, *scores, self.minutes, blended_in


def describe_runs(competition: str | None = None) -> str:
    """A table of the runs for each competition, the best score first.

    Args:
        competition: only its runs.

    Raises:
        ValueError: there is no competition of that name.
    """
    wanted = competition and get_competition(competition).name
    lines, broken = [], []
    for path in sorted(paths.runs().glob("*/run.json")):
        folder = RunFolder(path.parent)
        try:
            lines.append(_read(without_links(folder)))
        except (ValueError, KeyError, OSError) as error:  # one that cannot be read hides no other
            broken.append(single_line(f"{folder.name} cannot be read: {error}"))
    names = sorted({line.competition for line in lines if wanted in (None, line.competition)})
    parts = [_table(name, [one for one in lines if one.competition == name]) for name in names]
    if not parts:
        parts = [f"no runs{f' of {wanted}' if wanted else ''} in {paths.runs()}"]
    return "\n\n".join([*parts, *(["\n".join(broken)] if broken else [])])


def _table(competition: str, lines: list[Line]) -> str:
    sign = direction(get_competition(competition).metric)
    lines = sorted(lines, key=lambda line: -sign * line.score.value if line.score else math.inf)
    rows = format_table([TITLES, *(line.cells(lines) for line in lines)])
    return "\n  ".join([competition, *rows])


def _read(folder: RunFolder) -> Line:
    about = folder.read_run()
    if folder.read_blended():
        results = folder.read_score()
        weights = {row["run"]: row["weight"] for row in results["runs"]}
        score, entry = Score.from_dict(results["score"]), about.get("entry", "a blend")
        return Line(folder.name, about["competition"], entry, score, blend=weights)
    recipe, folds = folder.read_recipe(), folder.scored_folds()
    seconds = [folder.fold(number).read_cost().get("seconds") for number in folds]
    score = None
    if results := folds and written_results(folder, folds):
        score = Score.from_dict(results["score"])
    elif folds:
        score = score_folds(Run.open(folder), folds).score
    trained = f"{', '.join(map(str, folds)) or 'none'} of {len(recipe.fold_numbers)}"
    # An older Podium did not take the time.
    minutes = f"{sum(seconds) / 60:.1f}" if folds and None not in seconds else ""
    entry, remark = about.get("entry", ""), " (leaky)" if folder.leaky_folds() else ""
    return Line(folder.name, recipe.competition, entry, score, trained, minutes, remark)


def describe_entries() -> str:
    """A table of the entries: name, competition, backbone, machine, what is missing here."""
    titles = ("entry", "competition", "backbone", "meant for", "missing here")
    rows = [(entry.name, *_describe(entry)) for entry in all_entries()]
    return "\n".join(format_table([titles, *rows]))


def _describe(entry: Entry) -> tuple[str, str, str, str]:
    """Competition, backbone, machine and what is missing."""
    if entry.is_ensemble:
        ensemble = load_ensemble(entry.recipe_file)
        competition, what = ensemble.competition, f"{len(ensemble.runs)} runs"
        missing = _missing_runs(ensemble.runs)
    else:
        recipe = entry.recipe()
        competition, what, missing = recipe.competition, recipe.backbone, _missing(recipe)
    return competition, what, entry.machine, ", ".join(missing) or "nothing"


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
