"""Small kernels for tests: written as a folder that the client pushes, and run to their end."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_stand_in.server import StandIn

if TYPE_CHECKING:  # importing it checks an access token
    from kaggle.api.kaggle_api_extended import KaggleApi

REF = "someone/first-kernel"

# Prints, and runs until there is a file `go` in its working folder, or for some 20 s.
WAITS = """
import time
from pathlib import Path
for number in range(3):
    print("line", number, flush=True)
for _ in range(2000):
    if Path("go").exists():
        break
    time.sleep(0.01)
else:
    raise TimeoutError("nobody said go")
print("the end")
"""


def write_kernel(folder: Path, text: str, **changes: Any) -> Path:
    """Write the folder of a kernel: REF, offline, a script, unless its metadata are changed."""
    metadata = {
        "id": REF,
        "title": "First Kernel",
        "code_file": "kernel.py",
        "language": "python",
        "kernel_type": "script",
        "is_private": True,
        "enable_internet": False,
        **changes,
    }
    folder.mkdir(exist_ok=True)
    (folder / "kernel-metadata.json").write_text(json.dumps(metadata))
    (folder / metadata["code_file"]).write_text(text)
    return folder


def run_kernel(stand_in: StandIn, api: "KaggleApi", folder: Path, text: str, **changes: Any) -> str:
    """Push a kernel with the client and wait for its end; returns what it printed."""
    answer = api.kernels_push(str(write_kernel(folder, text, **changes)))
    assert not answer.error
    session = stand_in.kernels[changes.get("id", REF)].last
    session.wait()
    return session.log_text


def write_zip(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write a zip of files by name."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
