"""What is said of a kernel's time and memory before it is pushed."""

import re
from pathlib import Path

import pytest

from podium.kaggle.kernel import Kernel
from podium.kaggle.machines import MACHINES
from podium.kaggle.projection import project
from small_competitions import RECIPE, make_project, write_entry

B6 = RECIPE.replace("resnet-8", "efficientnet-b6").format(competition="cars")
CPU, GPU, TPU = (MACHINES[name] for name in ("cpu", "gpu", "tpu"))
LONG = 'stages=[{unfreeze="half", epochs=50, learning_rate=0.001, image_size=528}]'


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, "cars")
    write_entry(tmp_path, "big", B6)
    write_entry(tmp_path, "slow", B6)
    return "big"


def memory(text: str) -> float:
    return float(re.search(r"memory +([\d.]+) of the 14.7 GB", text)[1])


def test_time_and_memory_are_estimated_and_marked_so(entry: str) -> None:
    text = project(Kernel(entry, [LONG]), GPU)
    assert "half at 528 px" in text and "estimated, not measured" in text
    assert "time budget 11.5 h: it fits" in text
    less = project(Kernel(entry, [LONG, "batch_size=8"]), GPU)
    assert memory(less) < memory(text) < 14.7 and "lower" not in text
    assert "too much; lower the batch_size" in project(Kernel(entry, [LONG, "batch_size=128"]), GPU)


def test_a_cpu_takes_longer_than_two_gpus(entry: str) -> None:
    assert "too short; the epochs would be scaled" in project(
        Kernel("slow", [LONG.replace("50", "900")]), CPU
    )
    assert "it fits" in project(Kernel(entry, [LONG.replace("50", "900")]), GPU)


def test_a_tpu_has_more_memory_and_less_time(entry: str) -> None:
    text = project(Kernel(entry, [LONG]), TPU)
    assert "time budget 8.5 h: it fits" in text
    assert re.search(r"memory +[\d.]+ of the 15.7 GB of each device", text)


def test_an_ensemble_takes_no_training(entry: str, tmp_path: Path) -> None:
    write_entry(tmp_path, "both", 'competition = "cars"\nruns = ["big", "slow"]\n', command="blend")
    assert "both averages runs" in project(Kernel("both"), CPU)


def test_a_kernel_that_will_be_resumed_leaves_out_no_epochs(entry: str) -> None:
    assert "the run " in project(Kernel("slow", ["time_budget=1"], hours=5.0), CPU)
    assert "time budget" not in project(Kernel("slow", ["time_budget=1"], hours=5.0), CPU)


def test_what_is_not_known_is_said(entry: str, tmp_path: Path) -> None:
    assert "there is none for resnet-8" in project(Kernel("tiny"), CPU)
    (tmp_path / "input").rename(tmp_path / "elsewhere")
    assert "no estimate of the time: no data of cars" in project(Kernel(entry), GPU)
