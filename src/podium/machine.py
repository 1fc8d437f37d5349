"""What a run is told of the machine it runs on, and how loud TensorFlow is there."""

import os
import platform
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("podium", "tensorflow", "keras", "efficientnet", "albumentations", "numpy", "pandas")


def about_this_run() -> dict[str, Any]:
    """Versions, commit, machine and date, for the run's folder."""
    return {
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def peak_memory_gb() -> float:
    """The most memory that this process has had so far, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e9, 2)


def import_tensorflow_quietly() -> None:
    """Import TensorFlow without its page of notes on how it was compiled and on absent drivers.

    It writes them to the process's error stream before any setting of its own counts. They are
    shown all the same if the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if os.environ.get("PODIUM_DEBUG"):
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow

            tensorflow.config.list_logical_devices()
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _commit() -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None  # installed from a wheel, or inside a kernel: there is no repository
    return done.stdout.strip()
