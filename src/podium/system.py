"""The machine that a run is on: versions, memory, load, time; and Keras' backend, started."""

import ctypes
import os
import platform
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import psutil

from podium import paths

OLDEST_TENSORFLOW = (2, 20)  # needs a Keras whose metrics of several devices are right
BACKENDS = ("tensorflow", "jax")  # of Keras; the first one unless KERAS_BACKEND says another
KERNEL_MINUTES = 690.0  # Kaggle ends a kernel after 720, whatever it has written by then
TRAINING_MINUTES = "PODIUM_TRAINING_MINUTES"  # in a built kernel; None where it is to be resumed
PACKAGES = ("podium", "keras", "efficientnet", "albumentations", "numpy", "pandas", "openvino")

COMPILED_BYTES = 4 << 30  # of networks that JAX has compiled; the oldest go

CGROUP_FILES = (  # limit and use of a container's memory, version 2 and version 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
# Parameters of mallopt: no buffer is mapped alone (M_MMAP_MAX), none is given back by itself
# (M_TRIM_THRESHOLD), and the heap grows by 64 MB at a time (M_TOP_PAD).
MALLOC = {-4: 0, -1: -1, -2: 64 << 20}
# Bytes that a small run maps, of which it uses a quarter: measured with TensorFlow 2.21.
BACKEND_SPACE, WORKING_SPACE, CORE_SPACE = 1_700_000_000, 2_000_000_000, 100_000_000
MORE_MEMORY = (
    "not enough memory. With more of it the same command goes on; a smaller batch_size or "
    "image_size needs less"
)


def about_this_run() -> dict[str, Any]:
    """Versions, commit, machine and date, for the run's folder."""
    sources = os.environ.get("PODIUM_SOURCES")  # of a kernel, see kaggle/bootstrap.py
    return {
        "backend": backend(),
        "versions": {
            "python": platform.python_version(),
            **{package: _version(package) for package in (*PACKAGES, backend())},
        },
        "commit": commit(),
        **({"sources": sources} if sources else {}),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def peak_memory_gb() -> float:
    """The most memory that this process has had so far, in GB."""
    return round(peak_memory() / 1e9, 2)


def peak_memory() -> int:
    """The most memory that this process has had so far, in bytes."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":  # where `ru_maxrss` also counts the process that started this one
        peak = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
        return int(peak[1]) * 1024 if peak else psutil.Process().memory_info().rss
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def free_memory() -> int:
    """Bytes that this process may still use: what there is, or what it is allowed."""
    free = min(psutil.virtual_memory().available, _address_space())
    for limit, used in CGROUP_FILES:
        with suppress(OSError, ValueError):  # no such cgroup, or its limit is the word "max"
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
    return max(free, 0)


def _address_space() -> int:
    """Bytes that may still be added to what this process has mapped (`ulimit -v`)."""
    if not hasattr(psutil, "RLIMIT_AS"):  # only Linux keeps to such a limit
        return sys.maxsize
    process = psutil.Process()
    limit, _ = process.rlimit(psutil.RLIMIT_AS)
    return sys.maxsize if limit == psutil.RLIM_INFINITY else limit - process.memory_info().vms


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a machine or a GPU had too little memory."""
    if isinstance(error, MemoryError):
        return True
    # TensorFlow has a class for it, JAX only the word in front.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return "ResourceExhaustedError" in kinds or str(error).startswith("RESOURCE_EXHAUSTED")


def cpu_load() -> float:
    """How many processes want each core: so much longer takes what needs one core; at least 1."""
    return max(1.0, psutil.getloadavg()[0] / (os.cpu_count() or 1))


def backend() -> str:
    """What Keras computes with: "tensorflow" or "jax".

    Raises:
        ValueError: KERAS_BACKEND is another.
    """
    chosen = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    if chosen not in BACKENDS:
        raise ValueError(
            f"KERAS_BACKEND is {chosen!r}, and Podium computes with {' or '.join(BACKENDS)}: unset "
            "KERAS_BACKEND for the first"
        )
    return chosen


def start_backend(threads: int | None = None, deterministic: bool = False) -> None:
    """Import what Keras computes with, without its page of notes on absent drivers and the like.

    It writes them to the process's error stream before any setting of its own counts. They are
    shown all the same if the import fails.

    Args:
        threads: that share an operation, as the recipe says; one per core if not given. It counts
            only where nothing was computed yet.
        deterministic: on GPUs too, see `Devices.set_determinism`.

    Raises:
        ValueError: the process may not have the memory for it, or see `check_backend`.
    """
    check_backend()
    check_address_space()
    keep_freed_memory()
    os.environ["KERAS_BACKEND"] = backend()  # whatever ~/.keras/keras.json says, which is another
    os.environ["KERAS_HOME"] = str(paths.scratch() / "keras")  # project's, and may be anything
    if backend() == "jax":
        _set_up_jax(threads, deterministic)
    elif threads is not None:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if os.environ.get("PODIUM_DEBUG"):
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            if backend() == "jax":
                import jax

                jax.devices()
            else:
                import tensorflow

                tensorflow.config.list_logical_devices()
        except Exception:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _set_up_jax(threads: int | None, deterministic: bool) -> None:
    """Settings that JAX reads when it is imported; what the user has set stays.

    What is compiled is kept for the folds, restarts and runs to come: a large network's step takes
    minutes.
    """
    # Keras would import it, where it is installed, to set its seed too: six seconds, half a GB.
    sys.modules.setdefault("tensorflow", None)
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(paths.compiled()))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(COMPILED_BYTES))
    if threads is not None:
        os.environ["NPROC"] = str(threads)
    if deterministic:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, as far as it is glibc, for what is needed next.

    Else each operation's large buffers are mapped and unmapped, and each page faults again: 41 % of
    the time of a B4's training step on two cores. See mallopt(3).
    """
    if platform.libc_ver()[0] == "glibc":
        for parameter, value in MALLOC.items():
            ctypes.CDLL(None).mallopt(parameter, value)


def trim_memory() -> None:
    """Give freed memory back to the system, where a stage of other sizes begins."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def check_address_space() -> None:
    """Refuse a limit (`ulimit -v`) under which a backend aborts wherever it happens to reach it.

    Raises:
        ValueError: it is lower than what a small run takes.
    """
    imported = sys.modules.get(backend()) is not None
    needed = WORKING_SPACE + CORE_SPACE * (os.cpu_count() or 1) + BACKEND_SPACE * (not imported)
    left = _address_space()
    if left < needed:
        raise ValueError(
            f"this process may add only {left / 1e9:.1f} GB to its memory (ulimit -v), "
            f"{backend()} and a small run need {needed / 1e9:.1f} GB. With a higher limit the same "
            "command goes on"
        )


def check_backend() -> None:
    """Refuse a backend that Podium was never run with, before anything takes time.

    Raises:
        ValueError: it is none of Podium's, it is not installed, or older than what was tried.
    """
    installed = _version(backend())
    if backend() == "jax" and installed is None:
        raise ValueError(
            "KERAS_BACKEND is 'jax', and JAX is not installed: pip install 'podium[jax]', or "
            "unset KERAS_BACKEND"
        )
    is_tensorflow = backend() == "tensorflow" and installed is not None
    if is_tensorflow and tuple(map(int, installed.split(".")[:2])) < OLDEST_TENSORFLOW:
        oldest = ".".join(map(str, OLDEST_TENSORFLOW))
        raise ValueError(
            f"TensorFlow {installed} is installed, Podium needs {oldest} or newer. In a Kaggle "
            "kernel, choose the latest environment: docker_image_pinning_type = latest in its "
            "kernel-metadata.json, without a docker_image"
        )


def verbosity() -> int:
    """How much Keras shows: a moving bar at a terminal, a line for each epoch in a log file."""
    return 1 if sys.stdout.isatty() else 2


def training_minutes(budget: float | None) -> float | None:
    """Minutes that a run may take: its recipe's budget, and in a kernel what Kaggle leaves it."""
    if paths.kaggle() is None:
        return budget
    most = os.environ.get(TRAINING_MINUTES) or KERNEL_MINUTES
    return None if most == "None" else min(budget or float(most), float(most))


def _version(package: str) -> str | None:
    """The version by the name that is imported: TensorFlow's package has several names."""
    try:
        return version(package)
    except PackageNotFoundError:
        packages = packages_distributions().get(package)
        return version(packages[0]) if packages else None


def commit() -> str | None:
    """The commit of this code; None where that is not known."""
    if "PODIUM_COMMIT" in os.environ:
        return os.environ["PODIUM_COMMIT"]  # of a built kernel, which has no repository
    if "site-packages" in Path(__file__).parts:
        return None  # a wheel's; a repository around that environment is another one
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(git, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # a copy without its repository, or a machine without git
    return done.stdout.strip()
