"""The soup of one fold: mixtures of its weights are tried, one is chosen, and it predicts."""

import hashlib
import time
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from podium.data.splits import split_halves
from podium.models.averaging import Averager
from podium.runs.fold_folder import FoldFolder
from podium.runs.merge import copy_whole
from podium.runs.table import HELD_OUT
from podium.system import peak_memory_gb
from podium.text import format_table
from podium.training.fold_runner import FoldRunner
from podium.training.soup_members import Ingredient
from podium.training.soup_selection import Choice, Mixture, Trials, cross_fit

STATISTICS = 2000  # images that BatchNorm statistics are estimated from
KEPT = 1e9  # bytes of weights in memory; what is beyond is read again for each mixture


class FoldSoup:
    """Makes the soup of a fold in the run folder of a `FoldRunner`.

    Args:
        ingredients: of this fold; the first is the best of the soup's first run.
    """

    def __init__(self, fold_run: FoldRunner, fold: int, ingredients: list[Ingredient]):
        self._run, self._fold = fold_run, fold
        self._began = time.monotonic()
        self._network = fold_run.open(fold)
        self._averager = Averager(
            self._network, lambda: fold_run.last_batches(fold, images=STATISTICS)
        )
        self._trained = list(dict.fromkeys(one.folder for one in ingredients))  # the runs' folds
        self._kept: dict[Ingredient, list[np.ndarray]] = {}  # weights
        self._ingredients, self._names, self._means = self._distinct(ingredients)
        folds = fold_run.table.train["fold"].to_numpy()
        self._scored = fold_run.scored(fold)
        self._held_out = self._scored[folds[self._scored] == HELD_OUT]
        self._judging = self._scored[folds[self._scored] != HELD_OUT]

    def make(self) -> dict[str, Any]:
        """Choose, and write the fold but for its test predictions; returns what was chosen."""
        images = self._run.table.train.iloc[self._judging]
        labels = images["label"].to_numpy()
        half = split_halves(images["label"], images["group"], self._run.recipe.seed)
        with tqdm(desc=f"fold {self._fold}", unit=" mixtures", delay=2, leave=False) as bar:

            def predict(mixture: Mixture) -> np.ndarray:
                bar.set_postfix_str(f"trying the mean of {len(mixture)}" * (len(mixture) > 1))
                self._average(mixture)
                predicted = self._run.predict_plain(self._judging)
                bar.update()
                return predicted

            trials = Trials(predict, labels, self._run.competition.metric)
            choice = cross_fit(trials, len(self._ingredients), self._swa, half.to_numpy() == 1)
            rows = self._rows(trials, choice)
        print("\n".join(format_table(self._table(trials, rows))), flush=True)
        print(f"chosen: {', '.join(self._named(choice.all))}", flush=True)
        self._write(choice)
        return {
            "fold": self._fold,
            "ingredients": self._named(choice.all),
            "halves": [self._named(mixture) for mixture in choice.halves],
            "tried": rows,
        }

    def write_cost(self) -> None:
        """Seconds of the soup and of all trainings that it is made of."""
        spent = [folder.read_cost() for folder in self._trained]
        seconds = round(time.monotonic() - self._began)
        self._folder.write_cost(
            {
                "seconds": seconds + sum(cost["seconds"] for cost in spent),
                "peak_memory_gb": max(
                    peak_memory_gb(), *(cost.get("peak_memory_gb", 0.0) for cost in spent)
                ),
                "soup_seconds": seconds,
            }
        )

    @property
    def _folder(self) -> FoldFolder:
        return self._run.folder.fold(self._fold)

    @property
    def _swa(self) -> list[Mixture]:
        return list(self._means.values())

    def _distinct(
        self, ingredients: list[Ingredient]
    ) -> tuple[list[Ingredient], list[str], dict[str, Mixture]]:
        """The ingredients without copies, their names, and the mean of each run's checkpoints."""
        places: dict[str, int] = {}
        distinct: list[Ingredient] = []
        names: list[str] = []
        checkpoints: dict[str, set[int]] = {}
        several = len({one.run for one in ingredients}) > 1
        for one in tqdm(ingredients, f"fold {self._fold}: reading weights", delay=2, leave=False):
            digest = _digest(self._weights(one))
            place = places.setdefault(digest, len(distinct))
            if place == len(distinct):
                distinct.append(one)
                names.append(f"{one.run}: {one}" if several else str(one))
            else:  # the last epoch may be the best one
                names[place] += f" = {one}"
                self._kept.pop(one, None)
            if one.epoch is not None:
                checkpoints.setdefault(one.run, set()).add(place)
        means = {
            (f"{run}: " * several + f"SWA, the last {len(members)}"): Mixture(members)
            for run, members in checkpoints.items()
            if len(members) > 1
        }
        return distinct, names, means

    def _named(self, mixture: Mixture) -> list[str]:
        return [self._names[number] for number in sorted(mixture)]

    def _average(self, mixture: Mixture) -> None:
        chosen = (self._ingredients[number] for number in sorted(mixture))
        self._averager.average(self._weights(one) for one in chosen)

    def _weights(self, ingredient: Ingredient) -> list[np.ndarray]:
        """Its weights; those of the network in memory are others afterwards."""
        if ingredient in self._kept:
            return self._kept[ingredient]
        ingredient.read(self._network.model)
        weights = self._network.model.get_weights()
        if (len(self._kept) + 1) * sum(array.nbytes for array in weights) <= KEPT:
            self._kept[ingredient] = weights
        return weights

    def _rows(self, trials: Trials, choice: Choice) -> list[dict[str, Any]]:
        """What each mixture scores on the images that the fold is judged on."""
        every = range(len(self._ingredients))
        mixtures = {
            **{self._names[number]: Mixture([number]) for number in every},
            **self._means,
            f"uniform soup of all {len(every)}": Mixture(every),
            f"greedy soup of {len(choice.greedy)}": choice.greedy,
            f"chosen, the mean of {len(choice.all)}": choice.all,
        }
        tried = {name: trials.probabilities(mixture) for name, mixture in mixtures.items()}
        tried["each half, as the other one chooses"] = choice.cross_fitted(trials)
        return [
            {
                "weights": name,
                trials.metric.name: _number(trials.score(probabilities)),
                "log loss": _number(trials.log_loss(probabilities)),
            }
            for name, probabilities in tried.items()
        ]

    def _table(self, trials: Trials, rows: list[dict[str, Any]]) -> list[list[str]]:
        numbers = list(dict.fromkeys([trials.metric.name, "log loss"]))
        head = [f"fold {self._fold}, {len(trials.labels)} images, plain view", *numbers]
        return [head, *([row["weights"], *(_cell(row[n]) for n in numbers)] for row in rows)]

    def _write(self, choice: Choice) -> None:
        """Weights and predictions; the chosen network is the one in memory afterwards."""
        folder = self._folder
        folder.forget_cost()
        wanted: dict[Mixture, list[np.ndarray]] = {}
        for mixture, positions in (
            (choice.halves[0], self._judging[~choice.in_second]),
            (choice.halves[1], self._judging[choice.in_second]),
            (choice.all, self._held_out),
        ):
            wanted.setdefault(mixture, []).append(positions)
        tables = []
        for mixture in sorted(wanted, key=lambda one: one == choice.all):
            self._average(mixture)
            positions = np.sort(np.concatenate(wanted[mixture]))
            tables.append(self._run.predict(positions, self._run.recipe.views))
        folder.write_weights(self._network.model)
        folder.write_predictions("validation", pd.concat(tables))
        # How the first run learned: the soup itself has no epochs.
        copy_whole(self._trained[0].path / "history.csv", folder.path / "history.csv")


def _number(value: float) -> float | None:
    """The value as JSON can hold it: a network may have diverged."""
    return value if np.isfinite(value) else None


def _cell(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _digest(weights: list[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in weights:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
