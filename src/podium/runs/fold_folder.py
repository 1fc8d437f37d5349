"""The files of one fold of a run: weights, resumable state, history, predictions."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from podium.competitions.boxes import BOX_COLUMNS
from podium.files.atomic_write import atomic_write, require_space, write_csv, write_json
from podium.files.untrusted import check_weights, opened_arrays
from podium.runs import schemas
from podium.runs.schemas import RunError, check_form, read_csv, read_json, read_json_if_there

Row = dict[str, Any]  # of a history: stage, epoch, losses, …; or of a lineage: see `Origin`
AGAIN = "delete it, and the same command trains the fold again from its start"
COST = "cost.json"  # the last file of a fold that is scored
STAGE = "stage"  # the attribute of a file of weights that says which stage trained them last


def validation_loss(row: Row) -> float:
    """What an epoch of any stage is judged by: the plain log loss, and the boxes' loss with it.

    `val_loss` has label smoothing in it, where the recipe has it, and in a solved head's row none.
    The epochs of gradients then have a plain one as well; those of older Podiums have not.
    """
    if "val_log_loss" not in row:
        return row["val_loss"]
    boxes = row["val_loss"] - row.get("val_head_loss", row["val_loss"])
    return row["val_log_loss"] + boxes


@dataclass(frozen=True)
class FoldFolder:
    """The files of one fold: best weights, checkpoints, state, history, predictions."""

    path: Path

    @property
    def weights(self) -> Path:
        return self.path / "best.weights.h5"

    @property
    def scored(self) -> bool:
        """Whether it is trained, and the cost is there, which is written after the predictions."""
        return (self.path / COST).is_file()

    @property
    def finished(self) -> bool:
        """Whether the test predictions, which are written last, are there."""
        return (self.path / "test.csv").is_file()

    @property
    def can_predict(self) -> bool:
        """Whether it is trained, and its weights were kept."""
        return self.scored and self.weights.is_file()

    def write_weights(self, model: Any, stage: int) -> None:
        """Write the weights that predict of a Keras model, which this stage trained last."""
        _save_weights(model, self.weights, stage)

    def read_weights(self, model: Any) -> None:
        """Give a Keras model the fold's best weights.

        Raises:
            RunError: they were deleted.
            ForeignFile: the file is damaged, or more than weights.
        """
        if not self.weights.is_file():
            raise RunError(
                f"{self.weights} is missing (did podium tune delete it?): train the run again"
            )
        load_weights(model, self.weights)

    @property
    def weights_stage(self) -> int | None:
        """The stage that trained the weights last; None where they are not there, or do not say."""
        if not self.weights.is_file():
            return None
        check_weights(self.weights)
        with h5py.File(self.weights, "r") as file:
            return int(file.attrs[STAGE]) if STAGE in file.attrs else None

    def delete_weights(self) -> None:
        """Make room: the fold can predict no more images then."""
        self.weights.unlink(missing_ok=True)

    def checkpoint(self, epoch: int) -> Path:
        """The weights after an epoch of the last stage; epochs are counted from 1."""
        return self.path / "checkpoints" / f"{epoch}.weights.h5"

    def checkpoints(self) -> list[int]:
        """The epochs whose weights were kept."""
        names = (path.name.split(".")[0] for path in self.checkpoint(0).parent.glob("*.weights.h5"))
        return sorted(int(name) for name in names if name.isdecimal())

    def write_checkpoint(self, model: Any, epoch: int, stage: int) -> None:
        _save_weights(model, self.checkpoint(epoch), stage)

    def delete_checkpoints(self, but_last: int = 0) -> None:
        """Delete all checkpoints, or all but the last ones."""
        for epoch in self.checkpoints()[: -but_last or None]:
            self.checkpoint(epoch).unlink(missing_ok=True)
        folder = self.checkpoint(0).parent
        if not but_last and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def write_state(self, progress: dict[str, Any], arrays: list[np.ndarray]) -> None:
        """Write what a killed training needs to go on: one file, so that it is never half new."""
        require_space(self.path, sum(array.nbytes for array in arrays))
        with atomic_write(self.path / "state.npz") as part:
            named = {f"array_{number}": array for number, array in enumerate(arrays)}
            np.savez(part, progress=np.array(json.dumps(progress)), **named)

    def read_progress(self) -> dict[str, Any] | None:
        """How far the training came, or None before its first epoch."""
        path = self.path / "state.npz"
        if not path.is_file():
            return None
        with opened_arrays(path, AGAIN) as state:
            progress = json.loads(str(state["progress"]))
        check_form(progress, schemas.Progress, path)
        return progress

    def read_arrays(self) -> list[np.ndarray]:
        """The values of the variables that were written with the progress."""
        with opened_arrays(self.path / "state.npz", AGAIN) as state:
            return [state[f"array_{number}"] for number in range(len(state.files) - 1)]

    def delete_state(self) -> None:
        """Forget the resumable state, by far the largest file, once nothing will resume."""
        (self.path / "state.npz").unlink(missing_ok=True)

    def write_linear_probe(self, floor: dict[str, Any]) -> None:
        """Write the score of logistic regression on the features of the head stage."""
        write_json(self.path / "floor.json", floor)

    def read_linear_probe(self) -> dict[str, Any] | None:
        """The same, or None where no head stage was probed."""
        return read_json_if_there(self.path / "floor.json", schemas.ProbeFile)

    def write_pseudo(self, pseudo: dict[str, Any]) -> None:
        """Write which test images join the training, with which labels."""
        write_json(self.path / "pseudo.json", pseudo)

    def read_pseudo(self) -> dict[str, Any] | None:
        """What joins the training, or None where it is not chosen yet, or nothing does."""
        return read_json_if_there(self.path / "pseudo.json", schemas.PseudoFile)

    @property
    def pseudo_label_leak(self) -> str:
        """Why labels of what the fold scores leak, as an older Podium allowed; "" if none do."""
        rows = (self.read_pseudo() or {"stages": []})["stages"]
        return "; ".join({why: None for row in rows if (why := row.get("knows_the_fold"))})

    def write_start(self, runs: list[Row]) -> None:
        """Write the lineage of the network: the run it started from, then that one's, …"""
        write_json(self.path / "started_from.json", {"runs": runs})

    def read_start(self) -> list[Row]:
        """Read the lineage; empty where it started from no run."""
        found = read_json_if_there(self.path / "started_from.json", schemas.StartFile)
        return found["runs"] if found else []

    def write_ood(self, arrays: dict[str, np.ndarray]) -> None:
        """Write the out-of-distribution detector of the fold's weights as they are now."""
        with atomic_write(self.path / "unlikeness.npz") as part:
            np.savez(part, weights=np.array(self.digest()), **arrays)

    def read_ood(self) -> dict[str, np.ndarray] | None:
        """The same arrays, or None where there are none, or the weights have changed since.

        Raises:
            ForeignFile: the file is damaged.
        """
        path = self.path / "unlikeness.npz"
        if not path.is_file():
            return None
        with opened_arrays(path, "delete it, and it is made again") as kept:
            arrays = {name: kept[name] for name in kept.files}
            of_these = str(arrays.pop("weights")) == self.digest()
        return arrays if of_these else None

    def digest(self) -> str:
        """Tells these weights from any others."""
        with self.weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write_history(self, rows: list[Row]) -> None:
        write_csv(self.path / "history.csv", pd.DataFrame(rows), index=False)

    def read_history(self) -> pd.DataFrame:
        return read_csv(self.path / "history.csv", [])

    def write_cost(self, cost: dict[str, Any]) -> None:
        """Write seconds and peak memory of training and scoring the fold."""
        write_json(self.path / COST, cost)

    def read_cost(self) -> dict[str, Any]:
        return read_json(self.path / COST, schemas.CostFile)

    def forget_cost(self) -> None:
        """Make it a fold that is not scored, before its weights become others."""
        (self.path / COST).unlink(missing_ok=True)

    def write_predictions(self, name: str, predictions: pd.DataFrame) -> None:
        """Write `name` (validation or test): by id and view, a column per class, and boxes."""
        write_csv(self.path / f"{name}.csv", predictions)

    def read_predictions(self, name: str) -> pd.DataFrame:
        """The probabilities, float32 by id and view, a column per class."""
        return read_predictions(self.path / f"{name}.csv", ["id", "view"])[0]

    def read_boxes(self, name: str) -> pd.DataFrame | None:
        """The boxes, `BOX_COLUMNS` by id and view, in shares; None: no box head."""
        return read_predictions(self.path / f"{name}.csv", ["id", "view"])[1]


def read_predictions(path: Path, index: list[str]) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The probabilities of a CSV, a column per class, and the boxes beside them, or None: float32.

    Raises:
        RunError: there is no such file, or it is damaged.
    """
    columns = list(BOX_COLUMNS)
    text = {"dtype": dict.fromkeys(index, str), "keep_default_na": False}
    empty = {key: [""] for key in columns}  # an image that nobody could read
    table = read_csv(path, index, numbers=True, na_values=empty, **text)
    boxes = table[columns] if set(columns) <= set(table) else None
    return table.drop(columns=columns, errors="ignore"), boxes


def _save_weights(model: Any, path: Path, stage: int) -> None:
    sizes = (np.prod(one.shape) * np.dtype(one.dtype).itemsize for one in model.weights)
    require_space(path.parent, int(sum(sizes)))
    with atomic_write(path) as part:
        _uncompiled(model).save_weights(part)
        with h5py.File(part, "r+") as file:
            file.attrs[STAGE] = stage


def load_weights(model: Any, path: Path) -> None:
    """Give a Keras model the weights of a file, which is checked before it is read."""
    check_weights(path)
    _uncompiled(model).load_weights(path)


def _uncompiled(model: Any) -> Any:
    """The same layers without the optimizer, whose variables would make the file three times."""
    # Else Keras would number it, and the number would be in the file.
    return type(model)(model.inputs, model.outputs, name=model.name)
