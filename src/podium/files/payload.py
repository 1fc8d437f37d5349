"""Files packed to bytes that depend on names and contents only, and Podium's own among them."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import distribution
from pathlib import Path

CARRIED = ("efficientnet", "Keras-Applications")  # pure Python, and in none of Kaggle's images
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same sources must give the same bytes on any day
PACKAGE = Path(__file__).parents[1]


def library() -> dict[str, str]:
    """The modules of Podium by their path, and the pages of its report."""
    return {
        str(Path("podium", path.relative_to(PACKAGE))): path.read_text(encoding="utf-8")
        for pattern in ("*.py", "reports/static/*")
        for path in PACKAGE.rglob(pattern)
    }


def carried(packages: Iterable[str]) -> dict[str, str]:
    """The modules, license and version of packages, as their wheels have them; and Podium's."""
    number = distribution("podium").version  # as Python tells it
    about = f"Metadata-Version: 2.1\nName: podium\nVersion: {number}\n"
    files = {
        str(file): file.read_text(encoding="utf-8")
        for package in packages
        for file in distribution(package).files or []
        if (file.suffix == ".py" or file.name in ("METADATA", "LICENSE", "top_level.txt"))
    }
    return {**files, f"podium-{number}.dist-info/METADATA": about}


def pack(files: Mapping[str, str | bytes]) -> bytes:
    """A zip of these, without compression: what is text is compressed better as a whole."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, LONG_AGO)
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name])
    return buffer.getvalue()


def unpack(packed: bytes, folder: Path) -> None:
    """Write what was packed below a folder."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(folder)
