"""What a run is told of its machine: the memory that it has used, and may still use."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from podium import system
from podium.system import free_memory, peak_memory


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
        "assert 10**8 < free < 2 * 10**9; block = mmap.mmap(-1, free - 2 * 10**7)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to such a limit")
def test_a_limit_under_which_tensorflow_aborts_is_refused() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9)); "
        "from podium.system import import_tensorflow as begin; begin()"
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
