"""How far the training of a fold came, and everything that is needed to go on from there."""

from dataclasses import dataclass, field
from typing import Any

import keras

from podium.files.untrusted import ForeignFile
from podium.runs.fold_folder import AGAIN, FoldFolder, Row, validation_loss


@dataclass
class ResumeState:
    """The epochs so far. What is best, or how long nothing got better, follows from them."""

    stage: int = 0  # that is being trained
    history: list[Row] = field(default_factory=list)  # a row per finished epoch
    stage_finished: bool = False
    out_of_time: bool = False  # no further stage is to be trained
    plan: dict[str, Any] = field(default_factory=dict)  # see TimePlan.progress

    @classmethod
    def read(cls, folder: FoldFolder) -> "ResumeState":
        """The state that a killed training left, or that of a new one.

        Raises:
            ForeignFile: there is one, and it is not as Podium writes it.
        """
        try:
            return cls(**(folder.read_progress() or {}))
        except TypeError as error:
            raise ForeignFile(f"the state in {folder.path} has other keys: {AGAIN}") from error

    @property
    def epoch(self) -> int:
        """Finished epochs of the current stage."""
        return sum(row["stage"] == self.stage for row in self.history)

    @property
    def best(self) -> Row:
        """The epoch of the lowest `validation_loss`, of all stages."""
        return min(self.history, key=validation_loss)

    def epochs_since_best(self) -> int:
        """Epochs of the current stage after its own best one."""
        losses = [validation_loss(row) for row in self.history if row["stage"] == self.stage]
        return len(losses) - 1 - losses.index(min(losses))

    def write(
        self, folder: FoldFolder, model: keras.Model, optimizer: keras.optimizers.Optimizer | None
    ) -> None:
        """Write progress, network and optimizer; the random state of dropout is part of them.

        A stage without an optimizer is finished when it is written.
        """
        arrays = [variable.numpy() for variable in _variables(model, optimizer)]
        folder.write_state(vars(self), arrays)

    def restore(
        self, folder: FoldFolder, model: keras.Model, optimizer: keras.optimizers.Optimizer | None
    ) -> None:
        """Give the network, and the optimizer if it is the same stage's, their written values."""
        variables = _variables(model, optimizer)
        for variable, array in zip(variables, folder.read_arrays(), strict=optimizer is not None):
            variable.assign(array)


def _variables(
    model: keras.Model, optimizer: keras.optimizers.Optimizer | None
) -> list[keras.Variable]:
    return [*model.variables, *(optimizer.variables if optimizer else ())]
