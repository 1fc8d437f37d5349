"""What a kernel carries: Podium, its entry and two packages that Kaggle's image lacks, as text."""

import base64
import hashlib
import io
import lzma
import subprocess
import zipfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import podium
from podium.kaggle.private import check_nothing_private
from podium.recipes.entries import Entry

CARRIED = ("efficientnet", "Keras-Applications")  # pure Python, and not in Kaggle's image
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same sources must give the same bytes on any day
LINE = 100  # characters

PACKAGE = Path(podium.__file__).parent


class BuildError(ValueError):
    """A kernel that cannot be built, or that Kaggle would not take."""


@dataclass(frozen=True)
class Payload:
    """What is packed, and what it was made from."""

    text: str  # base 85, in lines
    sources: str  # SHA-256 of the zip within
    commit: str  # the last that changed the sources; with a + where they were changed since


def pack(entry: Entry) -> Payload:
    """Pack an entry with all that it needs; the same sources give the same text.

    Raises:
        PrivateContent: a file would give away what is of this machine only.
    """
    files = {**_podium(), **_entry(entry), **_carried()}
    check_nothing_private(files)
    packed = _zip(files)
    xz = lzma.compress(packed, preset=9 | lzma.PRESET_EXTREME)
    text = base64.b85encode(xz).decode()
    lines = [text[start : start + LINE] for start in range(0, len(text), LINE)]
    return Payload("\n".join(lines), hashlib.sha256(packed).hexdigest(), _commit(entry))


def _podium() -> dict[str, bytes]:
    """The library, and the file by which Python tells its version."""
    files = {
        str(Path("podium", path.relative_to(PACKAGE))): path.read_bytes()
        for path in PACKAGE.rglob("*.py")
    }
    name, number = "podium", distribution("podium").version
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"
    return {**files, f"{name}-{number}.dist-info/METADATA": about.encode()}


def _entry(entry: Entry) -> dict[str, bytes]:
    return {f"kernels/{entry.name}/recipe.toml": entry.recipe_file.read_bytes()}


def _carried() -> dict[str, bytes]:
    """The modules, licence and version of the carried packages, as their wheels have them."""
    files: dict[str, bytes] = {}
    for name in CARRIED:
        try:
            installed = distribution(name)
        except PackageNotFoundError as error:
            raise BuildError(f"{name} is not installed, and the kernel needs it") from error
        for file in installed.files or []:
            about = file.parts[0].endswith(".dist-info")
            wanted = file.name in ("METADATA", "LICENSE", "top_level.txt")
            if (about and wanted) or (not about and file.suffix == ".py"):
                files[str(file)] = Path(str(file.locate())).read_bytes()
    return files


def _zip(files: dict[str, bytes]) -> bytes:
    """A zip whose bytes depend on names and contents only; xz compresses it better than zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            about = zipfile.ZipInfo(name, LONG_AGO)
            about.external_attr = 0o644 << 16
            archive.writestr(about, files[name])
    return buffer.getvalue()


def _commit(entry: Entry) -> str:
    """The last commit that changed what is packed, so that others change no byte of a kernel."""
    repository = _git("rev-parse", "--show-toplevel")
    inside = repository and entry.path.resolve().is_relative_to(repository)
    places = [str(PACKAGE), *([str(entry.path.resolve())] if inside else [])]
    commit = _git("log", "-1", "--format=%H", "--", *places)
    changed = _git("status", "--porcelain", "--", *places)
    return commit + "+" * bool(commit and changed)


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE), *words], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""  # installed from a wheel: there is no repository
    return done.stdout.strip()
