"""An entry built into the one file that a Kaggle kernel is, with its metadata beside it."""

import base64
import hashlib
import json
import lzma
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from podium import paths
from podium.files.atomic_write import atomic_write
from podium.files.payload import CARRIED, PACKAGE, carried, library, pack
from podium.kaggle import kernel_start
from podium.kaggle.client import KaggleError, connect, user_name
from podium.kaggle.kernel_start import KernelStart
from podium.kaggle.metadata import (
    OWNER,
    KernelMetadata,
    check_machine,
    check_runs,
    check_sources,
    kernel_name,
    read_metadata,
    to_predict,
    without_runs,
)
from podium.kaggle.secret_scan import check_no_secrets
from podium.recipes.entries import Entry, all_entries, get_entry
from podium.recipes.recipe_file import load_ensemble
from podium.runs.run_folder import run_name

LIMIT = 1_000_000  # bytes of a kernel's code; Kaggle takes no more
HOURS = 9.0  # that most code competitions give a kernel
LINE = 100  # characters of the payload
BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
NOTEBOOK = Path(__file__).with_name("notebook.json")  # with words after a $ to be filled in


class BuildError(ValueError):
    """A kernel that cannot be built, or that Kaggle would not take."""


@dataclass(frozen=True)
class KernelBuild:
    """A kernel ready to be pushed: `kaggle kernels push -p FOLDER` takes it as it is."""

    folder: Path
    fold: int | None  # the only one that it trains
    metadata: KernelMetadata
    sources: str  # SHA-256 of the zip within
    commit: str  # the last that changed the sources; with a + where they were changed since

    @property
    def code(self) -> Path:
        return self.folder / self.metadata.code_file

    def __str__(self) -> str:
        size = self.code.stat().st_size
        lines = [
            f"kernel      {self.metadata.id} ({self.metadata.machine.name})",
            f"code        {self.code} ({size / 1000:.0f} of {LIMIT / 1000:.0f} kB)",
            f"sources     {self.sources} of commit {self.commit or 'none'}",
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
    hours: float | None = None,
    goes_on_from: str | None = None,
    on: str | None = None,
    predicts: bool = False,
    run: str | None = None,
) -> KernelBuild:
    """Build the kernel of an entry, or of one of its folds, into build/<name>/.

    One that predicts trains nothing: it takes runs that are trained, from datasets of `podium
    upload` or from the kernels that trained them, and predicts whatever test images it finds.

    Args:
        owner: Kaggle's name of who will push it; a placeholder stays where it is not known.
        overrides: `key=value` changes to the entry's recipe, as `podium train --set` takes them.
        hours: after which the kernel ends, finished or not; its epochs are not scaled to fit. Of
            one that predicts, the limit of the competition.
        goes_on_from: the sources of the kernel's last version, where it takes up that one's run.
        on: the machine, a key of MACHINES; by default what the metadata say.
        run: that predicts, if it is not named after the entry and the overrides.

    Raises:
        MetadataError: kernel-metadata.json says what Kaggle would misunderstand, or too little.
        BuildError: the file is too large.
        RecipeError: the recipe or an override is refused.
        SecretFound: the kernel would give away a secret, or something of this machine.
    """
    entry, overrides = get_entry(entry_name), list(overrides)
    run, reads = run or run_name(entry.name, overrides), _reads(entry, overrides)
    if predicts:
        reads = [run, *reads] if entry.is_ensemble else [run]
        metadata = to_predict(entry, read_metadata(entry, on), overrides, reads)
    else:
        metadata = check(entry, overrides, fold, hours, on)
    name = kernel_name(run, fold, predicts)
    metadata = metadata.filled(owner or OWNER, name)
    if goes_on_from is not None:
        sources = [*metadata.kernel_sources, metadata.id]
        metadata = metadata.model_copy(update={"kernel_sources": sources})
    most = metadata.machine.hours
    start = KernelStart(
        run=run,
        reads=reads,
        goes_on_from=goes_on_from,
        hours=min(hours or (HOURS if predicts else most), most),
        minutes=metadata.machine.minutes if hours is None else None,
        predicts=predicts,
    )
    about = metadata.model_dump_json(indent=2, exclude_none=True) + "\n"
    arguments = [word for override in overrides for word in ("--set", override)]
    arguments += ["--fold", str(fold)] if fold is not None else []
    texts = {str(entry.metadata): about, "--set": "\n".join(overrides)}
    packed = _pack(entry, start, texts, metadata.machine.lacks)
    sources = hashlib.sha256(packed).hexdigest()
    folder = paths.project() / "build" / name
    built = KernelBuild(folder, fold, metadata, sources, _commit(entry))
    code = _code(entry, built, start, arguments, packed)
    shutil.rmtree(folder, ignore_errors=True)  # nothing of an earlier build may stay
    for path, text in {built.code: code, folder / "kernel-metadata.json": about}.items():
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
    return built


def build_entries(
    names: Iterable[str], owner: str | None = None, **options: Any
) -> Iterator[KernelBuild]:
    """Build these entries, or all that have a kernel-metadata.json, with the options of `build`.

    Args:
        owner: by default who the Kaggle credentials of this machine name, if there are any.
    """
    names = list(names) or [entry.name for entry in all_entries() if entry.metadata.is_file()]
    if owner is None:
        # Without one the kernel is built all the same, and says what is missing.
        with suppress(KaggleError):
            owner = user_name(connect())
    for name in names:
        yield build(name, owner, **options)


def check(
    entry: Entry,
    overrides: Iterable[str] = (),
    fold: int | None = None,
    hours: float | None = None,
    on: str | None = None,
) -> KernelMetadata:
    """Refuse what would fail on Kaggle, or cannot be asked of this entry; returns its metadata."""
    metadata = without_runs(read_metadata(entry, on))
    if not entry.is_ensemble:
        recipe = entry.recipe(overrides)
        if fold is not None:
            recipe.check_fold(fold)
        check_sources(entry, metadata, recipe)
        check_machine(entry, metadata, recipe, hours)
    elif overrides or fold is not None:
        raise BuildError(f"{entry.name} averages runs: it has no folds, and nothing to --set")
    check_runs(entry, metadata, _reads(entry, overrides))
    return metadata


def _reads(entry: Entry, overrides: Iterable[str]) -> list[str]:
    """The other runs that an entry reads."""
    if entry.is_ensemble:
        return load_ensemble(entry.recipe_file).runs
    return entry.recipe(overrides).needed_runs


def _pack(entry: Entry, start: KernelStart, texts: dict[str, str], lacking: Iterable[str]) -> bytes:
    """A zip of all that an entry needs, whose bytes depend on names and contents only.

    Args:
        texts: what else is in the kernel, to be looked through with the rest.
        lacking: packages to carry beside CARRIED.
    """
    modules = library()
    recipe = entry.recipe_file.read_text(encoding="utf-8")
    code = entry.code.read_text(encoding="utf-8")
    own = {str(entry.recipe_file): recipe, str(entry.code): code, **texts}
    declared = {}
    if entry.declaration.is_file():
        text = entry.declaration.read_text(encoding="utf-8")
        declared[f"kernels/{entry.name}/{entry.declaration.name}"] = text
        own[str(entry.declaration)] = text
    check_no_secrets(modules, own)
    return pack(
        {
            **modules,
            **carried([*CARRIED, *lacking]),
            f"kernels/{entry.name}/recipe.toml": recipe,
            **declared,
            f"podium/kaggle/{kernel_start.FILE.name}": start.model_dump_json(indent=2),
        }
    )


def _commit(entry: Entry) -> str:
    """The last commit that changed what is packed, so that others change no byte of a kernel."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(PACKAGE), *words]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    if not shutil.which("git"):
        return ""
    repository = git("rev-parse", "--show-toplevel")  # none, where installed from a wheel
    packed = [str(PACKAGE)]
    if repository and entry.path.resolve().is_relative_to(repository):
        packed.append(str(entry.path.resolve()))
    commit = git("log", "-1", "--format=%H", "--", *packed)
    is_changed = commit and git("status", "--porcelain", "--", *packed)
    return f"{commit}+" if is_changed else commit


def _code(
    entry: Entry, built: KernelBuild, start: KernelStart, arguments: list[str], packed: bytes
) -> str:
    """The kernel's one file, a script or a notebook.

    Raises:
        BuildError: it is too large.
    """
    code = _bootstrap(built, arguments, packed)
    if built.metadata.kernel_type == "notebook":
        code = _notebook(entry, start, code, arguments)
    else:
        told = f"# {start.run}: built by Podium from kernels/{entry.name}; change it there"
        command = "" if start.predicts else entry.code.read_text(encoding="utf-8")
        code = f"{told}, not here.\n{code}\n\n{command}"
    if len(code.encode()) > LIMIT:
        raise BuildError(
            f"{entry.name}: the kernel would have {len(code.encode()):,} bytes, Kaggle takes "
            f"{LIMIT:,}: is there more in {entry.path} or the package than code?"
        )
    return code


def _bootstrap(built: KernelBuild, arguments: list[str], packed: bytes) -> str:
    """The code that unpacks the payload, its constants filled in."""
    xz = lzma.compress(packed, preset=9 | lzma.PRESET_EXTREME)
    payload = base64.b85encode(xz).decode()
    # In quotes each: IPython strips >>> from the beginning of a line, as a prompt.
    lines = [f'"{payload[start : start + LINE]}"' for start in range(0, len(payload), LINE)]
    text = BOOTSTRAP.read_text(encoding="utf-8")
    for constant, value in {
        'COMMIT = ""': f"COMMIT = {json.dumps(built.commit)}",
        'SOURCES = ""': f"SOURCES = {json.dumps(built.sources)}",
        'BACKEND = ""': f"BACKEND = {json.dumps(built.metadata.machine.backend)}",
        "ARGUMENTS = []": f"ARGUMENTS = {json.dumps(arguments)}",
        'PAYLOAD = ""': "\n".join(["PAYLOAD = (", *lines, ")"]),
    }.items():
        text = text.replace(f"\n{constant}\n", f"\n{value}\n")
    return text


def _notebook(entry: Entry, start: KernelStart, bootstrap: str, arguments: list[str]) -> str:
    """A notebook that brings Podium along, runs the entry, and shows what came of it."""
    recipe = entry.recipe_file.read_text(encoding="utf-8")
    comment = recipe.split("\n\n")[0].splitlines()
    texts = {
        "run": start.run,
        "entry": entry.name,
        "about": "\n".join(line.removeprefix("#").strip() for line in comment),
        "changed": f"\n\nHere with `{' '.join(arguments)}`." if arguments else "",
        "bootstrap": bootstrap,
        "recipe": recipe.strip(),
        "code": entry.code.read_text(encoding="utf-8").strip(),
    }
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    if start.predicts:
        del notebook["cells"][4:]  # a training, and what came of it
    for cell in notebook["cells"]:
        text = Template("".join(cell["source"])).substitute(texts)
        cell["source"] = text.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
