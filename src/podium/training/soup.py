"""`podium soup`: checkpoints of a run, or of several runs of one network, become one network.

Fold by fold, mixtures of weights predict the validation images: each set alone, the mean of a run's
last epochs (SWA, arXiv:1803.05407), the mean of all, and the greedy soup (arXiv:2203.05482). The
best one predicts the test images. Each half of the validation images is scored by the mixture
that the other half chose.
"""

import filecmp
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from podium import paths
from podium.competitions.metrics import LogLoss
from podium.data.splits import split_halves
from podium.data.table import prepare_run, read_table
from podium.files.atomic_write import copy_whole, discard
from podium.predictions.combine import assemble
from podium.predictions.result import RunResult
from podium.predictions.score import quality
from podium.runs.find_run import find_run
from podium.runs.fold_folder import RunError, load_weights
from podium.runs.run import Run
from podium.runs.run_folder import MAX_NAME, RunFolder, check_name
from podium.runs.table import HELD_OUT
from podium.system import about_this_run, peak_memory_gb
from podium.training.leakage import scored_by, split_leak
from podium.training.preflight import check_recipe
from podium.training.train import start_runner
from podium.training.warm_start import trained_folds

if TYPE_CHECKING:  # imports TensorFlow, which takes seconds
    from podium.training.fold_runner import FoldRunner

STATISTICS = 2000  # images that BatchNorm statistics are estimated from
IN_MEMORY = 8  # sets of weights; others are read again for each mixture

Mixture = frozenset[str]  # names of the sets of weights that are averaged


class CannotSoup(RunError):
    """Runs whose weights cannot be averaged, or not honestly."""


def soup(runs: Sequence[str], name: str | None = None, fresh: bool = False) -> RunResult:
    """Average weights of runs fold by fold, as far as that does no harm, into a run of its own.

    The same call goes on where it was killed.

    Args:
        runs: names or paths; best weights and checkpoints of all of them are tried.
        name: of the soup's folder; by default the first run's name and "-soup".
        fresh: begin again where there is a soup of that name.

    Raises:
        RunError: the weights cannot be averaged, or another run of that name is there.
    """
    members = [Run.open(find_run(run)) for run in runs]
    check_members(members)
    first = members[0]
    check_recipe(first.recipe, first.folder)
    folder = RunFolder(paths.runs() / check_name(name or f"{first.name[: MAX_NAME - 5]}-soup"))
    with folder.writing():
        # Without images no soup begins, nor is one replaced.
        read_table(first.competition, first.folder)
        _begin(folder, members, fresh)
        opened = prepare_run(folder, first.recipe)
        if to_do := sorted({*trained_folds(first.folder)}.difference(folder.finished_folds())):
            runner = start_runner(opened)
            for number, fold in enumerate(to_do, start=1):
                print(f"\nfold {fold} ({number} of {len(to_do)})", flush=True)
                FoldSoup(runner, members, fold).make()
        names = " ".join(member.name for member in members)
        print(f"\nwhat the soup gains, image by image: podium report {names} {folder.name}\n")
        return assemble(folder)


def check_members(members: list[Run]) -> None:
    """Make sure that the weights of these runs may be averaged.

    Raises:
        CannotSoup: one is a soup, of another network or another split, or there is nothing to
            average.
    """
    first, folds = members[0], trained_folds(members[0].folder)
    for member in members:
        if sources := member.folder.read_souped():
            raise CannotSoup(f"{member.name} is a soup: name its runs, {', '.join(sources)}")
        here, there = _architecture(first), _architecture(member)
        for key in here:
            if here[key] != there[key]:
                raise CannotSoup(
                    f"{member.name} is another network than {first.name}: {key} is {there[key]!r}, "
                    f"not {here[key]!r}; networks of different layers can be blended: podium blend"
                )
        for fold in set(folds).intersection(trained_folds(member.folder)):
            if leak := split_leak(member.folder, fold, scored_by(first.table, fold)):
                raise CannotSoup(f"fold {fold}: {leak}; train both with the same seed and folds")
    for fold in folds or [0]:
        if sum(len(weights_of(member, fold)) for member in members) < 2:
            raise CannotSoup(
                f"fold {fold} of {first.name} has fewer than two sets of weights to average: train "
                "with --set checkpoints=5, or name more runs of the same network"
            )


def weights_of(run: Run, fold: int) -> dict[str, Path]:
    """The files of all weights that there are of a fold, by name, each once.

    The weights that predict are those of an epoch as a rule, and then go by its name.
    """
    folder = run.folder.fold(fold)
    if not folder.can_predict:
        return {}
    epochs = {f"epoch {epoch}": folder.checkpoint(epoch) for epoch in folder.checkpoints()}
    if any(filecmp.cmp(folder.weights, path, shallow=False) for path in epochs.values()):
        return epochs
    return {"best": folder.weights, **epochs}


def _architecture(run: Run) -> dict[str, Any]:
    """The choices of a recipe that say which layers a network has."""
    keys = {"competition", "backbone", "head", "box"}
    without_weights = {"head": {"dropout"}, "box": {"dropout", "loss_weight"}}
    return run.recipe.model_dump(include=keys, exclude=without_weights)


def _begin(folder: RunFolder, members: list[Run], fresh: bool) -> None:
    """Make the soup's folder, or make sure that it is one of these very runs."""
    first = members[0].folder
    runs = [{"run": m.name, "started": m.folder.read_run().get("started")} for m in members]
    if folder.exists:
        soup = folder.read_run().get("soup")
        if not soup or (soup["runs"] != runs and not fresh):
            raise CannotSoup(
                f"{folder.path} is no soup of these runs as they are now: name this one otherwise, "
                "--run NAME, or begin a soup again with --fresh"
            )
        if fresh:
            discard(folder.path)
    if not folder.exists:
        for name in ("pictures.csv", "checked.json", paths.DECLARATION):
            if (first.path / name).is_file():
                copy_whole(first.path / name, folder.path / name)
        about = {"entry": first.read_run().get("entry"), **about_this_run()}
        recipe = members[0].recipe.model_dump()
        folder.write_run({"recipe": recipe, **about, "soup": {"runs": runs, "folds": []}})


def choose(
    names: Iterable[str], quality: Callable[[Mixture], float], means: Iterable[Mixture] = ()
) -> Mixture:
    """Choose the greedy soup, or one of the means where it is better.

    The greedy soup is the best set of weights, and each further one, best first, that does no harm.
    """
    alone = [Mixture([name]) for name in names]
    best, *others = sorted(alone, key=quality, reverse=True)
    for other in others:
        if quality(best | other) >= quality(best):
            best |= other
    return max([best, *means], key=quality)


class FoldSoup:
    """Makes one fold of a soup: tries mixtures of weights, and predicts by the best one."""

    def __init__(self, runner: "FoldRunner", members: list[Run], fold: int):
        from podium.models.averaging import Averager

        self._began, self._runner, self._fold = time.monotonic(), runner, fold
        self._sources = [member.folder.fold(fold) for member in members]
        network = runner.open(fold)
        self._model, self._metric = network.model, runner.competition.metric
        self._averager = Averager(network, lambda: runner.last_batches(fold, images=STATISTICS))
        self._read, self._predict = lru_cache(IN_MEMORY)(self._read), cache(self._predict)
        train, scored = runner.table.train, runner.scored(fold)
        is_held_out = (train["fold"] == HELD_OUT).to_numpy()[scored]
        self._held_out, self._judges = scored[is_held_out], scored[~is_held_out]
        images = train.iloc[self._judges]
        self._labels = runner.competition.truth(images["label"]).to_numpy()
        self._half = split_halves(images["label"], images["group"], runner.recipe.seed).to_numpy()
        self._files: dict[str, Path] = {}
        self._means: dict[str, Mixture] = {}
        for member in members:
            prefix = f"{member.name}: " if len(members) > 1 else ""
            files = {prefix + name: path for name, path in weights_of(member, fold).items()}
            self._files |= files
            epochs = Mixture(files) - {f"{prefix}best"}
            if len(epochs) > 1:
                self._means[f"{prefix}SWA, the last {len(epochs)}"] = epochs

    def make(self) -> None:
        """Choose a mixture, and write all files of the fold."""
        self._inherit()
        means, everywhere = self._means.values(), partial(self._quality, rows=np.s_[:])
        chosen, greedy = (choose(self._files, everywhere, also) for also in (means, ()))
        halves = [  # each by the images of the other one
            choose(self._files, partial(self._quality, rows=self._half != number), means)
            for number in (0, 1)
        ]
        tried = {
            **{name: Mixture([name]) for name in self._files},
            **self._means,
            f"uniform soup of all {len(self._files)}": Mixture(self._files),
            f"greedy soup of {len(greedy)}": greedy,
            f"chosen, the mean of {len(chosen)}": chosen,
        }
        rows = [{"weights": name, **self._values(mixture)} for name, mixture in tried.items()]
        title = f"fold {self._fold}, {len(self._labels)} images, plain view"
        table = pd.DataFrame(rows).set_index("weights").rename_axis(index=None, columns=title)
        print(f"{table.to_string(float_format='%.4f')}\nchosen: {', '.join(sorted(chosen))}")
        self._write(chosen, halves)
        folder = self._runner.folder
        run = folder.read_run()
        about = {"fold": self._fold, "ingredients": sorted(chosen), "tried": rows}
        about["halves"] = [sorted(mixture) for mixture in halves]
        others = [row for row in run["soup"]["folds"] if row["fold"] != self._fold]
        folder.write_run({**run, "soup": {**run["soup"], "folds": [*others, about]}})
        seconds = round(time.monotonic() - self._began)  # and those of all trainings
        spent = sum(source.read_cost()["seconds"] for source in self._sources if source.scored)
        cost = {"seconds": seconds + spent, "soup_seconds": seconds}
        folder.fold(self._fold).write_cost({**cost, "peak_memory_gb": peak_memory_gb()})
        self._runner.predict_test(self._fold, self._runner.recipe.views)

    def _inherit(self) -> None:
        """Keep the lineage of the runs' networks, and pseudo-labels, those that leak first."""
        folder, lineage = self._runner.folder.fold(self._fold), []
        for source in self._sources:
            lineage += [row for row in source.read_start() if row not in lineage]
        if lineage:
            folder.write_start(lineage)
        labeled = [source for source in self._sources if source.read_pseudo() is not None]
        if labeled:
            leaky = max(labeled, key=lambda source: bool(source.pseudo_label_leak))
            folder.write_pseudo(leaky.read_pseudo())

    def _write(self, chosen: Mixture, halves: list[Mixture]) -> None:
        """Write weights and validation predictions; the network ends with the chosen mixture."""
        folder, tables = self._runner.folder.fold(self._fold), []
        folder.forget_cost()
        for mixture in sorted({*halves, chosen}, key=lambda mixture: mixture == chosen):
            self._average(mixture)
            parts = [self._judges[self._half == n] for n in (0, 1) if halves[n] == mixture]
            parts += [self._held_out] if mixture == chosen else []
            positions = np.sort(np.concatenate(parts))
            tables.append(self._runner.predict(positions, self._runner.recipe.views))
        folder.write_weights(self._model, len(self._runner.recipe.stages) - 1)
        folder.write_predictions("validation", pd.concat(tables))
        # How the first run learned: the soup itself has no epochs.
        copy_whole(self._sources[0].path / "history.csv", folder.path / "history.csv")

    def _quality(self, mixture: Mixture, rows: np.ndarray | slice) -> float:
        predicted = self._predict(mixture)
        if predicted is None:
            return -np.inf
        return quality(self._metric, self._labels[rows], predicted[rows])

    def _values(self, mixture: Mixture) -> dict[str, float | None]:
        """The metric and the log loss; None where the weights have diverged."""
        predicted, metrics = self._predict(mixture), [self._metric, LogLoss(task=self._metric.task)]
        if predicted is None:
            return dict.fromkeys(metric.name for metric in metrics)
        return {one.name: one.of(self._labels, predicted)(None) for one in metrics}

    def _predict(self, mixture: Mixture) -> np.ndarray | None:
        """Predict the images that judge; None, and no NaN, where the weights have diverged."""
        self._average(mixture)
        predicted = self._runner.predict_plain(self._judges)
        return predicted if np.isfinite(predicted).all() else None

    def _average(self, mixture: Mixture) -> None:
        self._averager.average(self._read(self._files[name]) for name in sorted(mixture))

    def _read(self, path: Path) -> list[np.ndarray]:
        load_weights(self._model, path)
        return self._model.get_weights()
