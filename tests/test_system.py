"""The machine: memory that is used and free, time that a run has, an old TensorFlow."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from podium import system
from podium.system import KERNEL_MINUTES, free_memory, peak_memory, training_minutes


def test_free_memory_heeds_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_memory()
    assert free > 50_000_000
    limit, used = tmp_path / "limit", tmp_path / "used"
    monkeypatch.setattr(system, "CGROUP_FILES", ((str(limit), str(used)),))
    limit.write_text("30000000\n")
    used.write_text("10000000\n")
    assert free_memory() == 20_000_000
    limit.write_text("max\n")
    assert free_memory() > 50_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to such a limit")
def test_free_memory_heeds_a_limit_of_the_process() -> None:
    code = (
        "import mmap, resource; resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9)); "
        "from podium.system import free_memory; free = free_memory(); print(free); "
        "block = mmap.mmap(-1, free - 2 * 10**7)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 10**8 < int(done.stdout) < 2 * 10**9


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to such a limit")
def test_a_limit_under_which_tensorflow_aborts_is_refused() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9)); "
        "from podium.system import start_backend as begin; begin()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = ended.stderr.splitlines()[-1]
    assert "ValueError: this process may add only 2.0 GB to its memory (ulimit -v)" in last


def test_peak_memory_is_that_of_the_process_alone() -> None:
    held = np.ones(100_000_000 // 8)
    assert peak_memory() > held.nbytes
    code = "from podium.system import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1_000_000 < int(done.stdout) < held.nbytes


def test_here_only_the_recipe_limits_the_time(data: Path) -> None:
    assert training_minutes(None) is None
    assert training_minutes(10_000) == 10_000


@pytest.mark.parametrize(("installed", "refused"), [("2.19.1", True), ("2.20.0", False)])
def test_an_old_tensorflow_is_refused_before_anything_takes_time(
    tmp_path: Path, installed: str, refused: bool
) -> None:
    about = tmp_path / f"tensorflow-{installed}.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text(f"Metadata-Version: 2.1\nName: tensorflow\nVersion: {installed}\n")
    code = "from podium.system import check_backend; check_backend()"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode != 0) == refused
    assert ("TensorFlow 2.19.1 is installed, Podium needs 2.20 or newer" in done.stderr) == refused


def run_python(
    code: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("KERAS")}
    words = [sys.executable, "-c", code]
    return subprocess.run(words, env=others | variables, capture_output=True, text=True, cwd=cwd)


def test_another_projects_settings_of_keras_do_not_count(tmp_path: Path) -> None:
    settings = '{"image_data_format": "channels_first", "backend": "jax", "epsilon": "small"}'
    path = tmp_path / ".keras" / "keras.json"
    path.parent.mkdir()
    path.write_text(settings)
    code = (
        "from podium.system import start_backend; start_backend(); import keras; "
        "print(keras.backend.backend(), keras.config.image_data_format(), keras.config.floatx())"
    )
    done = run_python(code, HOME=str(tmp_path))
    assert done.stdout == "tensorflow channels_last float32\n", done.stderr
    assert path.read_text() == settings


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_kept_and_given_back_by_a_trim() -> None:
    code = """
import resource, psutil, numpy as np
from podium.system import keep_freed_memory, trim_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(100_000_000, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
before = faults()
keep_freed_memory()
faults()
kept, held = faults(), psutil.Process().memory_info().rss
trim_memory()
print(before > 500, kept < before / 10, held - psutil.Process().memory_info().rss > 50_000_000)
"""
    assert run_python(code).stdout == "True True True\n"


def test_jax_starts_without_tensorflow_and_keeps_what_it_compiles(tmp_path: Path) -> None:
    code = (
        "from podium.system import start_backend; start_backend(); import os, sys, keras; "
        "import podium.training.fold_runner; keras.utils.set_random_seed(0); "
        "print(keras.backend.backend(), sys.modules['tensorflow']); "
        "import jax; jax.jit(lambda x: x + 1)(1); print(len(os.listdir('weights/.compiled')) > 0)"
    )
    done = run_python(code, KERAS_BACKEND="jax", cwd=tmp_path)
    assert done.stdout == "jax None\nTrue\n", done.stderr


def test_a_backend_that_is_not_installed_is_named() -> None:
    code = (
        "import importlib.metadata as m; m.version = lambda name: m.Distribution.from_name('no'); "
        "m.packages_distributions = dict; "
        "from podium.system import check_backend; check_backend()"
    )
    line = run_python(code, KERAS_BACKEND="jax").stderr.splitlines()[-1]
    assert line == (
        "ValueError: KERAS_BACKEND is 'jax', and JAX is not installed: pip install 'podium[jax]', "
        "or unset KERAS_BACKEND"
    )


def test_another_backend_is_refused_in_a_line() -> None:
    code = "from podium.system import start_backend; start_backend()"
    line = run_python(code, KERAS_BACKEND="torch").stderr.splitlines()[-1]
    assert line.startswith("ValueError: KERAS_BACKEND is 'torch', and Podium computes with tensor")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="becomes another user")
def test_a_user_without_a_name_and_a_home_is_served() -> None:
    code = (
        "import os; from podium import paths; os.setgid(54321); os.setuid(54321); "
        "print(paths.home(), bool(paths.pretrained()), paths.scratch().name)"
    )
    variables = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True
    )
    assert done.stdout == "None True podium-54321\n", done.stderr


def test_a_kernel_ends_before_kaggle_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_KAGGLE_ROOT", str(tmp_path))
    (tmp_path / "working").mkdir()
    assert training_minutes(None) == KERNEL_MINUTES
    assert training_minutes(10_000) == KERNEL_MINUTES
    assert training_minutes(30) == 30
