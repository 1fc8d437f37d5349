"""`podium new`: from a folder of images to two entries, one for a CPU and one for Kaggle."""

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium import paths
from podium.competitions import COMPETITIONS
from podium.competitions.declared import Declaration
from podium.competitions.inspect_data import inspect
from podium.competitions.inspection import Choices, Inspection
from podium.files.atomic_write import atomic_folder
from podium.kaggle.download import Unseen, download
from podium.kaggle.metadata import OWNER, kernel_id, kernel_title
from podium.kaggle.starting_recipes import recipe_for_cpu, recipe_for_kaggle
from podium.recipes.entries import Entry
from podium.recipes.recipe_file import parse_table
from podium.recipes.tables import RUN_NAME

KERNEL = '''"""Trains this entry: the code of its kernel on Kaggle, and it runs here too."""

import sys

from podium.cli import app

if __name__ == "__main__":
    app(["train", "{entry}", *sys.argv[1:]], standalone_mode=False)
'''
LONGEST = 100  # characters of a line of competition.toml


@dataclass(frozen=True)
class NewEntries:
    """What was written for a dataset."""

    seen: Inspection
    small: Entry  # for a CPU
    large: Entry  # for Kaggle's GPUs
    data: Path  # below input/

    def __str__(self) -> str:
        return f"{self.seen}\nwritten\n  {self.small.path}/\n  {self.large.path}/"

    @property
    def next_commands(self) -> str:
        return (
            f"next\n  podium train {self.small.name} --preset quick    # minutes; good: an hour, "
            f"best: a night\n  podium push {self.large.name} --wait             # on Kaggle's GPUs"
        )


def new_entries(
    name: str, data: Path | None, choices: Choices, kaggle: str | None = None
) -> NewEntries:
    """Look at a dataset and write its two entries, with the declaration of its competition.

    Args:
        name: of the competition; its entries are called <name>-b0 and <name>-b6.
        data: the folder of the images; input/ gets a link to it unless it lies there.
        kaggle: what to download in place of that: a competition's slug, or <owner>/<slug> of a
            dataset.

    Raises:
        ValueError: the name is taken, or something cannot be guessed. Nothing was written.
    """
    if (data is None) == (kaggle is None):
        raise ValueError("give the folder of the images by --data, or what to fetch by --kaggle")
    small, large = (Entry(paths.entries() / f"{name}-{size}") for size in ("b0", "b6"))
    _check_name(name, small, large)
    source = _source(kaggle) if kaggle else None
    data = download(Unseen(name, source)) if source else data
    seen = inspect(data, choices)
    folder = _folder_below_input(name, data)
    about = {"name": name, "folder": folder.name, **({"kaggle": source} if source else {})}
    declaration = {**about, **seen.declaration}
    parse_table(Declaration, declaration, "competition.toml")
    competition = to_toml(declaration)
    of_small = {small.recipe_file: recipe_for_cpu(small.name, name, seen)}
    of_large = {
        large.recipe_file: recipe_for_kaggle(large.name, name, seen),
        large.metadata: json.dumps(_metadata(large.name, folder.name, source), indent=2) + "\n",
    }
    with ExitStack() as stack:  # what fails leaves neither
        for entry, texts in ((small, of_small), (large, of_large)):
            part = stack.enter_context(atomic_folder(entry.path))
            texts |= {entry.declaration: competition, entry.code: KERNEL.format(entry=entry.name)}
            for path, text in texts.items():
                (part / path.name).write_text(text, encoding="utf-8")
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.symlink_to(data.resolve(), target_is_directory=True)
    return NewEntries(seen, small, large, folder)


def _check_name(name: str, *entries: Entry) -> None:
    if not re.match(RUN_NAME, name):
        raise ValueError(f"name {name!r}: expected letters, digits, _, - and . only, as flowers")
    if name in COMPETITIONS:
        raise ValueError(f"there is a competition {name} already: choose another name")
    for entry in entries:
        if entry.path.exists():
            raise ValueError(
                f"{entry.path} is there already: choose another name, or delete it first"
            )


def _source(kaggle: str) -> str:
    """Where Kaggle has it, as the address of its page: competitions/… or datasets/…/…."""
    address = re.sub(r"^(https://)?(www\.)?kaggle\.com/", "", kaggle).strip("/")
    if address.startswith(("competitions/", "datasets/")):
        return address
    return f"datasets/{address}" if "/" in address else f"competitions/{address}"


def _folder_below_input(name: str, data: Path) -> Path:
    """The folder below input/: the data itself where it lies in one, or a link to be made.

    Raises:
        ValueError: something else has that name.
    """
    for place in paths.inputs():
        if data.resolve().parent == place.resolve():
            return place / data.resolve().name
    link = paths.project() / "input" / name
    if link.exists() and not link.samefile(data):
        raise ValueError(f"{link} is there already, and is not {data}: choose another name")
    if link.is_symlink() and not link.exists():
        link.unlink()  # what it led to is gone
    return link


def _metadata(entry: str, folder: str, source: str | None) -> dict[str, Any]:
    """The kernel-metadata.json of an entry for Kaggle's GPUs.

    Data that Kaggle does not have goes there as a dataset of the user's, of the folder's name.
    """
    kind, _, reference = (source or f"datasets/{OWNER}/{folder}").partition("/")
    return {
        "id": kernel_id(OWNER, entry),
        "title": kernel_title(entry),
        "code_file": "kernel.py",
        "language": "python",
        "kernel_type": "script",
        "is_private": True,
        "enable_internet": False,
        "machine_shape": "NvidiaTeslaT4",
        "dataset_sources": [
            f"{OWNER}/podium-pretrained",
            *([reference] if kind == "datasets" else []),
        ],
        "competition_sources": [reference] if kind == "competitions" else [],
        "kernel_sources": [],
        "model_sources": [],
    }


def to_toml(data: dict[str, Any]) -> str:
    """A dictionary of texts, numbers, booleans, lists of texts, and tables of these, as TOML."""
    lines = []
    for key, value in data.items():
        if isinstance(value, dict):
            lines += ["", f"[{key}]", to_toml(value).rstrip()]
            continue
        # JSON's texts, booleans and lists of texts are TOML's, too.
        line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
        if isinstance(value, list) and len(line) > LONGEST:
            rows = "".join(f"    {json.dumps(one, ensure_ascii=False)},\n" for one in value)
            line = f"{key} = [\n{rows}]"
        lines.append(line)
    return "\n".join(lines) + "\n"
