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

from podium.files.atomic_write import atomic_write
from podium.files.payload import CARRIED, PACKAGE, carried, library, pack
from podium.kaggle import kernel_start
from podium.kaggle.client import KaggleError, connect, user_name
from podium.kaggle.kernel import BuildError, Kernel
from podium.kaggle.kernel_start import KernelStart
from podium.kaggle.metadata import OWNER, KernelMetadata
from podium.kaggle.secret_scan import check_no_secrets
from podium.recipes.entries import Entry, all_entries

LIMIT = 1_000_000  # bytes of a kernel's code; Kaggle takes no more
HOURS = 9.0  # that most code competitions give a kernel
LINE = 100  # characters of the payload
BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
NOTEBOOK = Path(__file__).with_name("notebook.json")  # with words after a $ to be filled in


@dataclass(frozen=True)
class KernelBuild:
    """A kernel ready to be pushed: `kaggle kernels push -p FOLDER` takes it as it is."""

    kernel: Kernel
    metadata: KernelMetadata
    sources: str  # SHA-256 of the zip within
    commit: str  # the last that changed the sources; with a + where they were changed since

    @property
    def folder(self) -> Path:
        return self.kernel.folder

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


def build(kernel: Kernel, owner: str | None = None, goes_on_from: str | None = None) -> KernelBuild:
    """Build a kernel into build/<its name>/.

    Args:
        owner: Kaggle's name of who will push it; a placeholder stays where it is not known.
        goes_on_from: the sources of the kernel's last version, where it takes up that one's run.

    Raises:
        MetadataError, RecipeError: see `Kernel.check`.
        BuildError: the file is too large.
        SecretFound: the kernel would give away a secret, or something of this machine.
    """
    metadata = kernel.check().filled(owner or OWNER, kernel.name)
    if goes_on_from is not None:
        sources = [*metadata.kernel_sources, metadata.id]
        metadata = metadata.model_copy(update={"kernel_sources": sources})
    machine = metadata.machine
    most = HOURS if kernel.predicts else machine.hours
    start = KernelStart(
        run=kernel.run,
        reads=kernel.reads,
        goes_on_from=goes_on_from,
        hours=min(kernel.hours or most, machine.hours),
        minutes=machine.minutes if kernel.hours is None else None,
        predicts=kernel.predicts,
    )
    about = metadata.model_dump_json(indent=2, exclude_none=True) + "\n"
    packed = _pack(kernel, start, about, machine.lacks)
    sources = hashlib.sha256(packed).hexdigest()
    built = KernelBuild(kernel, metadata, sources, _commit(kernel.entry))
    code = _code(built, packed)
    shutil.rmtree(built.folder, ignore_errors=True)  # nothing of an earlier build may stay
    for path, text in {built.code: code, built.folder / "kernel-metadata.json": about}.items():
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
    return built


def build_entries(
    names: Iterable[str], owner: str | None = None, **options: Any
) -> Iterator[KernelBuild]:
    """Build these entries, or all that have a kernel-metadata.json, as a `Kernel` of the options.

    Args:
        owner: by default who the Kaggle credentials of this machine name, if there are any.
    """
    names = list(names) or [entry.name for entry in all_entries() if entry.metadata.is_file()]
    if owner is None:
        # Without one the kernel is built all the same, and says what is missing.
        with suppress(KaggleError):
            owner = user_name(connect())
    for name in names:
        yield build(Kernel(name, **options), owner)


def _pack(kernel: Kernel, start: KernelStart, about: str, lacking: Iterable[str]) -> bytes:
    """A zip of all that a kernel needs, whose bytes depend on names and contents only.

    Args:
        about: its metadata, to be searched for secrets with the rest.
        lacking: packages to carry beside CARRIED.
    """
    entry, modules = kernel.entry, library()
    files = entry.code, entry.recipe_file, entry.declaration
    texts = {file: file.read_text(encoding="utf-8") for file in files if file.is_file()}
    own = {str(file): text for file, text in texts.items()}
    overrides = "\n".join(kernel.overrides)
    check_no_secrets(modules, {**own, str(entry.metadata): about, "--set": overrides})
    texts.pop(entry.code, None)  # which the kernel ends with
    return pack(
        {
            **modules,
            **carried([*CARRIED, *lacking]),
            **{f"kernels/{entry.name}/{file.name}": text for file, text in texts.items()},
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


def _code(built: KernelBuild, packed: bytes) -> str:
    """The kernel's one file, a script or a notebook.

    Raises:
        BuildError: it is too large.
    """
    kernel, entry, code = built.kernel, built.kernel.entry, _bootstrap(built, packed)
    if built.metadata.kernel_type == "notebook":
        code = _notebook(kernel, code)
    else:
        told = f"# {kernel.run}: built by Podium from kernels/{entry.name}; change it there"
        command = "" if kernel.predicts else entry.code.read_text(encoding="utf-8")
        code = f"{told}, not here.\n{code}\n\n{command}"
    if len(code.encode()) > LIMIT:
        raise BuildError(
            f"{entry.name}: the kernel would have {len(code.encode()):,} bytes, Kaggle takes "
            f"{LIMIT:,}: is there more in {entry.path} or the package than code?"
        )
    return code


def _bootstrap(built: KernelBuild, packed: bytes) -> str:
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
        "ARGUMENTS = []": f"ARGUMENTS = {json.dumps(built.kernel.arguments)}",
        'PAYLOAD = ""': "\n".join(["PAYLOAD = (", *lines, ")"]),
    }.items():
        text = text.replace(f"\n{constant}\n", f"\n{value}\n")
    return text


def _notebook(kernel: Kernel, bootstrap: str) -> str:
    """A notebook that brings Podium along, runs the entry, and shows what came of it."""
    entry, arguments = kernel.entry, kernel.arguments
    recipe = entry.recipe_file.read_text(encoding="utf-8")
    comment = recipe.split("\n\n")[0].splitlines()
    texts = {
        "run": kernel.run,
        "entry": entry.name,
        "about": "\n".join(line.removeprefix("#").strip() for line in comment),
        "changed": f"\n\nHere with `{' '.join(arguments)}`." if arguments else "",
        "bootstrap": bootstrap,
        "recipe": recipe.strip(),
        "code": entry.code.read_text(encoding="utf-8").strip(),
    }
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    if kernel.predicts:
        del notebook["cells"][4:]  # a training, and what came of it
    for cell in notebook["cells"]:
        text = Template("".join(cell["source"])).substitute(texts)
        cell["source"] = text.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
