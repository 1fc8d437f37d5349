"""An entry built into the one file that a Kaggle kernel is, with its metadata beside it."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from podium import paths
from podium.files.atomic_write import atomic_write
from podium.kaggle.client import KaggleError, connect, user_name
from podium.kaggle.metadata import (
    OWNER,
    KernelMetadata,
    check_runs,
    check_sources,
    kernel_name,
    read_metadata,
)
from podium.kaggle.payload import BuildError, Payload, pack
from podium.kaggle.private import check_nothing_private
from podium.recipes.entries import Entry, all_entries, get_entry
from podium.recipes.recipe_file import load_ensemble
from podium.runs.run_folder import run_name

LIMIT = 1_000_000  # bytes of a kernel's code; Kaggle takes no more
BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
SHOW = """\
import pandas as pd
from IPython.display import Image, display

from podium.reports.figures import png
from podium.reports.report import figures_of
from podium.training.train import find_run

for figure in figures_of(find_run("{run}")):
    display(Image(png(figure)))
pd.read_csv("submission.csv").head(10)
"""


@dataclass(frozen=True)
class KernelBuild:
    """A kernel ready to be pushed: `kaggle kernels push -p FOLDER` takes it as it is."""

    folder: Path
    run: str  # that it writes
    fold: int | None  # the only one that it trains
    metadata: KernelMetadata
    payload: Payload

    @property
    def code(self) -> Path:
        return self.folder / self.metadata.code_file

    def __str__(self) -> str:
        size = self.code.stat().st_size
        lines = [
            f"kernel      {self.metadata.id} ({self.metadata.machine_shape or 'CPU'})",
            f"code        {self.code} ({size / 1000:.0f} of {LIMIT / 1000:.0f} kB)",
            f"sources     {self.payload.sources} of commit {self.payload.commit or 'none'}",
        ]
        if self.metadata.owner == OWNER:
            lines.append(
                f"owner       {OWNER}: the Kaggle credentials here name nobody; --owner does"
            )
        return "\n".join(lines)


def build(
    entry_name: str,
    owner: str | None = None,
    overrides: Iterable[str] = (),
    fold: int | None = None,
) -> KernelBuild:
    """Build the kernel of an entry, or of one of its folds, into build/<name>/.

    Args:
        owner: Kaggle's name of who will push it; a placeholder stays where it is not known.
        overrides: `key=value` changes to the entry's recipe, as `podium train --set` takes them.

    Raises:
        MetadataError: kernel-metadata.json says what Kaggle would misunderstand, or too little.
        BuildError: the file is too large, or a package that it has to carry is not here.
        RecipeError: the recipe or an override is refused.
        PrivateContent: it would give away what is of this machine only.
    """
    entry, overrides = get_entry(entry_name), list(overrides)
    metadata = check(entry, overrides, fold)
    run = run_name(entry.name, overrides)
    name = kernel_name(run, fold)
    arguments = [word for override in overrides for word in ("--set", override)]
    arguments += ["--fold", str(fold)] if fold is not None else []
    metadata = metadata.of(owner or OWNER, name)
    payload = pack(entry)
    make = _notebook if metadata.kernel_type == "notebook" else _script
    _check_own(entry, metadata, make(entry, run, replace(payload, text=""), arguments), owner)
    code = make(entry, run, payload, arguments)
    if len(code.encode()) > LIMIT:
        raise BuildError(
            f"{entry.name}: the kernel would have {len(code.encode()):,} bytes, Kaggle takes "
            f"{LIMIT:,}: is there more in {entry.path} or the package than code?"
        )
    folder = _write(paths.project() / "build" / name, metadata, code)
    return KernelBuild(folder, run, fold, metadata, payload)


def build_entries(
    names: Iterable[str],
    owner: str | None = None,
    overrides: Iterable[str] = (),
    fold: int | None = None,
) -> Iterator[KernelBuild]:
    """Build these entries, or all that have a kernel-metadata.json.

    Args:
        owner: by default who the Kaggle credentials of this machine name, if there are any.
    """
    names = list(names) or [entry.name for entry in all_entries() if entry.metadata.is_file()]
    if owner is None:
        # Without one the kernel is built all the same, and says what is missing.
        with suppress(KaggleError):
            owner = user_name(connect())
    for name in names:
        yield build(name, owner, overrides, fold)


def check(entry: Entry, overrides: Iterable[str] = (), fold: int | None = None) -> KernelMetadata:
    """Refuse what would fail on Kaggle, or cannot be asked of this entry; returns its metadata."""
    metadata = read_metadata(entry)
    if not entry.is_ensemble:
        recipe = entry.recipe(overrides)
        if fold is not None:
            recipe.check_fold(fold)
        check_sources(entry, metadata, recipe)
        check_runs(entry, metadata, recipe.needed_runs)
    elif overrides or fold is not None:
        raise BuildError(f"{entry.name} averages runs: it has no folds, and nothing to --set")
    else:
        check_runs(entry, metadata, load_ensemble(entry.recipe_file).runs)
    return metadata


def _check_own(entry: Entry, metadata: KernelMetadata, code: str, owner: str | None) -> None:
    """Refuse what would give away something of this machine, in what is not packed."""
    files = {
        str(entry.recipe_file): entry.recipe_file.read_bytes(),
        str(entry.code): entry.code.read_bytes(),
        str(entry.metadata): metadata.model_dump_json(indent=2).encode(),
        f"the code around {entry.code}": code.encode(),  # with the changes to the recipe
    }
    check_nothing_private(files, owner, ours=True)


def _write(folder: Path, metadata: KernelMetadata, code: str) -> Path:
    if folder.exists():
        shutil.rmtree(folder)  # a kernel is one file: nothing of an earlier build may stay
    with atomic_write(folder / metadata.code_file) as part:
        part.write_text(code, encoding="utf-8")
    with atomic_write(folder / "kernel-metadata.json") as part:
        text = metadata.model_dump_json(indent=2, exclude_none=True)
        part.write_text(text + "\n", encoding="utf-8")
    return folder


def _script(entry: Entry, run: str, payload: Payload, arguments: list[str]) -> str:
    about = f"# {run}: built by Podium from kernels/{entry.name}; change it there, not here.\n"
    return about + _bootstrap(payload, arguments) + "\n\n" + entry.code.read_text(encoding="utf-8")


def _notebook(entry: Entry, run: str, payload: Payload, arguments: list[str]) -> str:
    recipe = entry.recipe_file.read_text(encoding="utf-8")
    about = "\n".join(
        line.removeprefix("#").strip() for line in recipe.split("\n\n")[0].splitlines()
    )
    changed = f"\n\nHere with `{' '.join(arguments)}`." if arguments else ""
    bring = new_code_cell(_bootstrap(payload, arguments))
    bring.metadata["_kg_hide-input"] = True  # Kaggle's own word for a folded cell
    cells = [
        new_markdown_cell(
            f"# {run}\n\nBuilt by Podium from `kernels/{entry.name}`: change it there, not "
            f"here.\n\n{about}{changed}"
        ),
        new_markdown_cell("## Podium\n\nThe library travels in this cell, compressed."),
        bring,
        new_markdown_cell(f"## The recipe\n\n```toml\n{recipe.strip()}\n```"),
        new_markdown_cell("## The run"),
        new_code_cell(entry.code.read_text(encoding="utf-8").strip()),
        new_markdown_cell("## What came of it"),
        new_code_cell(SHOW.format(run=run).strip()),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # nbformat draws them at random: the bytes must not change
    notebook = new_notebook(cells=cells, metadata={"kernelspec": _KERNELSPEC})
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


_KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}


def _bootstrap(payload: Payload, arguments: list[str]) -> str:
    """The code that unpacks the payload, its constants filled in."""
    text = BOOTSTRAP.read_text(encoding="utf-8")
    constants = {
        "COMMIT": json.dumps(payload.commit),
        "SOURCES": json.dumps(payload.sources),
        "ARGUMENTS": json.dumps(arguments),
        "PAYLOAD": f'"""\n{payload.text}\n"""',
    }
    for name, value in constants.items():
        before, empty, after = re.split(rf'^({name} = (?:""|\[\])\n)', text, flags=re.MULTILINE)
        text = f"{before}{empty.split('=')[0]}= {value}\n{after}"
    return text
