"""Images as bytes, and `podium serve` as a process."""

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

COMMAND = [sys.executable, "-c", "from podium.cli import main; main()", "serve"]


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    """A file of this kind, such as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, kind)
    return file.getvalue()


@contextmanager
def serving(project: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """`podium serve tiny` at any free port: its address, as long as it lasts."""
    command = [*COMMAND, "tiny", "--port", "0", *words]
    with subprocess.Popen(
        command,
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ,
    ) as process:
        try:
            said = ""
            for line in process.stdout:
                said += line
                if found := re.search(r"is at (http://\S+/),", line):
                    yield found[1], process
                    break
            else:
                raise AssertionError(f"it ended: {said}")
            process.send_signal(signal.SIGINT)
            assert process.wait(60) in (0, 130), "Ctrl-C ends it; 130: a thread still decoded"
            assert "goes on from here" not in process.stdout.read()
        finally:
            process.kill()
