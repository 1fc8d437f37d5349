"""Lists: the runs of weights/ with their scores, the entries of kernels/ with what they need."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from scipy.stats import spearmanr

from podium import paths
from podium.competitions import Competition, MissingData, get_competition
from podium.kaggle.leaderboard import (
    Leaderboard,
    fetch_leaderboard,
    leaderboard_of,
    read_leaderboard,
)
from podium.models.pretrained import find_weights, weights_file
from podium.predictions.combine import current_results
from podium.predictions.score import Score, direction
from podium.recipes.entries import all_entries
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import load_ensemble
from podium.runs.find_run import all_runs, without_links
from podium.runs.run_folder import RunFolder
from podium.text import format_table, single_line

TITLES = (
    *("run", "entry", "folds", "score", "95 % interval"),
    *("public", "private", "images", "minutes", "blended in"),
)
LEADERBOARD = ("public", "private")  # the columns that are left out where they are empty
FEWEST = 5  # runs of which scores are correlated


@dataclass(frozen=True)
class Line:
    """A run in the list."""

    run: str
    competition: str
    entry: str
    score: Score | None = None  # None before the first fold is trained
    folds: list[int] | None = None  # that are scored; None: a blend
    of_folds: int | None = None  # in the recipe
    seconds: float | None = None  # of training and scoring; an older Podium did not take them
    leaky: bool = False
    weights: dict[str, float] | None = None  # of the runs that it blends
    blended_in: list[str] = field(default_factory=list)  # blends that use it
    public: float | None = None  # scores of its submission on Kaggle's leaderboards
    private: float | None = None
    of_another_file: bool = False  # they are of another submission than is here by now

    def cells(self) -> tuple[str, ...]:
        score, interval, images, folds, public, private = ("",) * 6
        if self.score:
            value, interval = self.score.cells
            score = f"{self.score.metric} {value}{' (leaky)' * self.leaky}"
            images = str(self.score.images)
        if self.folds is not None:
            folds = f"{', '.join(map(str, self.folds)) or 'none'} of {self.of_folds}"
        if self.public is not None:
            public = f"{self.public:g}{' (of another file)' * self.of_another_file}"
            private = "" if self.private is None else f"{self.private:g}"
        minutes = "" if self.seconds is None else f"{self.seconds / 60:.1f}"
        about = self.run, self.entry, folds, score, interval, public, private
        return *about, images, minutes, ", ".join(self.blended_in)


@dataclass(frozen=True)
class RunList:
    """The runs of a competition, the best first, and what is known of its leaderboard."""

    competition: str
    runs: list[Line]
    submissions_left_today: int | None  # None where Kaggle was not asked today
    unscored: int  # submissions that were sent and whose score is not known
    # Spearman's, of out-of-fold and public scores; None of fewer than `FEWEST` runs. Those whose
    # score is leaky, or whose submission is another file by now, are not among them.
    correlation: float | None
    correlated_runs: int

    def __str__(self) -> str:
        columns = zip(TITLES, *(line.cells() for line in self.runs), strict=True)
        used = [column for column in columns if column[0] not in LEADERBOARD or any(column[1:])]
        lines = [self.competition, *format_table(list(zip(*used, strict=True)))]
        if self.submissions_left_today is not None:
            lines.append(f"submissions left today: {self.submissions_left_today}")
        if self.unscored:
            lines.append(f"submissions without a score: {self.unscored}; podium runs --fetch asks")
        if self.correlation is not None:
            what = "Spearman correlation of out-of-fold and public scores"
            lines.append(f"{what}: {self.correlation:.2f} (of {self.correlated_runs} runs)")
        return "\n  ".join(lines)


@dataclass(frozen=True)
class AllRuns:
    """The runs of weights/ by competition, and those that cannot be read."""

    competitions: list[RunList]
    unreadable: list[str]

    def __str__(self) -> str:
        parts = [*map(str, self.competitions)] or [f"no such runs in {paths.runs()}"]
        return "\n\n".join(filter(None, [*parts, "\n".join(self.unreadable)]))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def list_runs(competition: str | None = None, fetch: bool = False) -> AllRuns:
    """The runs of each competition, the best score first.

    Args:
        competition: only its runs.
        fetch: ask Kaggle for the scores of submissions first; else what is known here is told.

    Raises:
        ValueError: there is no competition of that name.
        KaggleError: Kaggle was to be asked, and does not answer.
    """
    wanted = competition and get_competition(competition).name
    lines, broken = [], []
    for folder in all_runs():
        try:
            lines.append(_read(without_links(folder)))
        except (ValueError, KeyError, OSError) as error:  # one that cannot be read hides no other
            broken.append(single_line(f"{folder.name} cannot be read: {error}"))
    names = sorted({line.competition for line in lines if wanted in (None, line.competition)})
    return AllRuns([_list(get_competition(name), lines, fetch) for name in names], broken)


def _list(competition: Competition, lines: list[Line], fetch: bool) -> RunList:
    slug = leaderboard_of(competition)
    if slug and fetch:
        fetch_leaderboard(slug)
    board = read_leaderboard(slug) if slug else Leaderboard()
    sign, runs = direction(competition.metric), []
    for line in lines:
        if line.competition == competition.name:
            used = [other.run for other in lines if (other.weights or {}).get(line.run)]
            public, private, other = board.scores(line.run)
            scores = {"public": public, "private": private, "of_another_file": other}
            runs.append(replace(line, blended_in=used, **scores))
    runs.sort(key=lambda line: -sign * line.score.value if line.score else math.inf)
    unscored = [one for one in board.submissions if one.public is None and not one.failed]
    return RunList(competition.name, runs, board.left_today, len(unscored), *_correlation(runs))


def _correlation(runs: list[Line]) -> tuple[float | None, int]:
    """Spearman's of out-of-fold and public scores, and of how many runs."""
    counted = [
        (line.score.value, line.public)
        for line in runs
        if line.score and line.public is not None and not (line.leaky or line.of_another_file)
    ]
    if len(counted) < FEWEST:
        return None, len(counted)
    correlation = float(spearmanr(counted).statistic)  # NaN where all scores are equal
    return None if math.isnan(correlation) else correlation, len(counted)


def _read(folder: RunFolder) -> Line:
    about = folder.read_run()
    if folder.read_blended():
        results = folder.read_score()
        weights = {row["run"]: row["weight"] for row in results["runs"]}
        score, entry = Score.from_dict(results["score"]), about.get("entry", "a blend")
        return Line(folder.name, about["competition"], entry, score, weights=weights)
    recipe, folds = folder.read_recipe(), folder.scored_folds()
    seconds = [folder.fold(number).read_cost().get("seconds") for number in folds]
    score = Score.from_dict(current_results(folder)["score"]) if folds else None
    return Line(
        folder.name,
        recipe.competition,
        about.get("entry", ""),
        score,
        folds,
        len(recipe.fold_numbers),
        sum(seconds) if folds and None not in seconds else None,
        bool(folder.leaky_folds()),
    )


@dataclass(frozen=True)
class EntryList:
    """The entries of the project: name, competition, backbone, machine, what is missing here."""

    entries: list[tuple[str, str, str, str, list[str]]]

    def __str__(self) -> str:
        titles = ("entry", "competition", "backbone", "meant for", "missing here")
        rows = [(*row, ", ".join(missing) or "nothing") for *row, missing in self.entries]
        return "\n".join(format_table([titles, *rows]))

    def as_dict(self) -> dict[str, Any]:
        keys = ("entry", "competition", "backbone", "machine", "missing")
        return {"entries": [dict(zip(keys, row, strict=True)) for row in self.entries]}


def list_entries() -> EntryList:
    """The entries of the project."""
    rows = []
    for entry in all_entries():
        if entry.is_ensemble:
            recipe = load_ensemble(entry.recipe_file)
            backbone, missing = f"{len(recipe.runs)} runs", _missing_runs(recipe.runs)
        else:
            recipe = entry.recipe()
            backbone, missing = recipe.backbone, _missing(recipe)
        rows.append((entry.name, recipe.competition, backbone, entry.machine, missing))
    return EntryList(rows)


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
