"""What `podium new` knows of a dataset: what the user said, what was found, what was guessed."""

from dataclasses import dataclass, field
from typing import Any

from podium.text import format_table


@dataclass(frozen=True)
class Choices:
    """What the user says in place of a guess; an option of `podium new` each."""

    csv: str | None = None  # path, from the folder of the data
    id: str | None = None  # columns of the CSV
    label: str | None = None  # several by commas: one-hot
    group: str | None = None
    fold: str | None = None
    test: str | None = None  # folder of the images to predict
    sample: str | None = None  # path of the sample submission
    task: str | None = None
    metric: str | None = None


@dataclass
class Inspection:
    """Facts about a dataset, guesses with what changes each, and the declaration made of them."""

    found: list[tuple[str, str]] = field(default_factory=list)
    guesses: list[tuple[str, str, str]] = field(default_factory=list)
    declaration: dict[str, Any] = field(default_factory=dict)  # as competition.toml has it
    images: int = 0  # with a class
    folds: int = 0  # that a column gives
    rarest: int = 0  # images of the rarest class
    shorter_side: int = 0  # of the middle image, pixels

    def find(self, what: str, told: str) -> None:
        self.found.append((f"  {what}", told))

    def guess(self, what: str, told: str, change: str) -> None:
        """Note a guess, and the option or key that changes it."""
        self.guesses.append((f"  {what}", told, f"to change it: {change}"))

    def __str__(self) -> str:
        guessed = ["guessed", *format_table(self.guesses)] if self.guesses else []
        return "\n".join(["found", *format_table(self.found), *guessed])
