"""First part of a built kernel: it unpacks Podium and begins. `podium build` fills in constants.

Nothing is installed and no internet is needed. The code is plain enough for the Python of an old
image, so that it can say what is wrong with it.
"""

import base64
import hashlib
import io
import lzma
import os
import sys
import tempfile
import zipfile

# The last commit that changed these sources, and the SHA-256 of what is packed below.
COMMIT = ""
SOURCES = ""
# What Keras computes with on the machine that the kernel is for.
BACKEND = ""
# Arguments of the command that the kernel runs.
ARGUMENTS = []
# A zip of Podium, the entry, and the packages that the image lacks; xz; base 85.
PAYLOAD = ""


def bring_podium():
    """Unpack what this file carries, and put it first on the path."""
    print("Podium of commit " + (COMMIT or "none") + ", sources " + SOURCES, flush=True)
    if sys.version_info < (3, 11):  # noqa: UP036 - runs on images that Podium does not support
        raise RuntimeError(
            "this image has Python " + sys.version.split()[0] + ", Podium needs 3.11 or newer: "
            "choose the latest environment in the kernel's settings"
        )
    try:
        packed = lzma.decompress(base64.b85decode(PAYLOAD))
    except (ValueError, lzma.LZMAError):
        packed = b""
    if hashlib.sha256(packed).hexdigest() != SOURCES:
        raise RuntimeError(
            "the payload of this kernel was altered: its SHA-256 is not the one stated. "
            "Build it again with `podium build`"
        )
    folder = tempfile.mkdtemp(prefix="podium-kernel-")  # not in the kernel's output
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(folder)
    sys.path.insert(0, folder)
    sys.argv = ["kernel.py", *ARGUMENTS]
    os.environ["KERAS_BACKEND"] = BACKEND
    os.environ["PODIUM_COMMIT"] = COMMIT
    os.environ["PODIUM_SOURCES"] = SOURCES
    os.environ.setdefault("TQDM_MININTERVAL", "10")  # seconds: each bar is a line of the log


bring_podium()

from podium.kaggle.kernel_start import begin  # noqa: E402

begin()
