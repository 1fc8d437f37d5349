"""The benchmark of one GPU runs on a CPU at a tiny size, keeps to its minutes, and packs itself."""

import json
import re
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from podium.competitions import get_competition
from podium.models.pretrained import find_weights, weights_file
from podium.recipes.entries import get_entry
from small_competitions import DRAW

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks/ is no part of what is installed

from benchmarks.gpu import __main__ as gpu  # noqa: E402
from benchmarks.gpu import packing, parts, projection  # noqa: E402

STEP = {
    "entry": "cars-b6",
    "batch_size": 8,
    "image_size": 400,
    "unfreeze": 31,
    "step_seconds": 0.024,
    "compile_seconds": 180.0,
    "operations_a_second": 790e12,
    "bytes_a_second": 4.3e12,
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the entries of this one and a few cars; the current folder."""
    (tmp_path / "kernels").symlink_to(ROOT / "kernels")
    DRAW["cars"](tmp_path / "input" / get_competition("cars").slug)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("HOME", str(tmp_path))  # whose ~/.keras may have weights
    return tmp_path


@pytest.mark.slow
def test_the_parts_run_on_a_cpu(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "results.json"
    assert gpu.measure(list("bcda"), minutes=60, results_file=path, quick=True) == 0
    results = json.loads(path.read_text())
    a, b, c, d = (results["parts"][name] for name in "abcd")
    assert results["device"] == b["device"] == "1 × cpu"
    assert {"versions", "commit", "started", "command"} <= results.keys()
    assert a["folds"].keys() == {"0", "1"}
    assert a["folds"]["1"]["compiled"]["from_cache"] > 0  # of what the first fold left
    assert 0 <= a["score"]["value"] <= 1
    assert len(a["fit"]) == 3
    assert all(speed > 0 for speeds in a["fit"].values() for speed in speeds)
    for part in (b, c):
        assert part["image_size"] == 36  # that of the largest stage
        assert part["compiled"]["asked_for"] == 1  # the step, once for all that follows
        assert part["learning"]["falls"]
        assert part["learning"]["weights_are_finite"]
        assert part["share_of_operations_a_second"] > 0
        assert part["share_of_bytes_a_second"] > 0
        assert part["peak_memory_gb"] > 0
    assert (b["policy"], c["policy"]) == ("float32", "mixed_float16")
    assert c["learning"]["loss_scale"] > 0
    assert d["views"] == 4
    assert [row["what"] for row in results["rows"]] == [
        "fit of cars-b4-cpu",
        "a fold, once compiled",
    ]
    out = capsys.readouterr().out
    assert re.search(r"cars-b6 +\d+ min +\d+ to \d+ min", out)


def test_no_part_begins_that_does_not_fit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "RESULTS", project)
    assert gpu.measure(["a", "b"], minutes=3, results_file=None) == 0
    found = json.loads((project / "gpu.json").read_text())["parts"]
    assert "takes up to 7 minutes, 3.0 are left" in found["a"]["left_out"]
    assert "left_out" in found["b"]


def test_what_was_found_before_a_failure_is_kept(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "broken.py").write_text(
        "def measure(found, sizes):\n    found.add(seen=1)\n    raise OSError('the GPU is gone')\n"
    )
    (project / "benchmarks" / "gpu").mkdir(parents=True)
    for name in ("__init__.py", "measuring.py", "gpu/__init__.py"):
        (project / "benchmarks" / name).write_bytes((ROOT / "benchmarks" / name).read_bytes())
    code = (ROOT / "benchmarks" / "gpu" / "parts.py").read_text()
    code = code.replace('Part("timm_step"', 'Part("broken"')
    (project / "benchmarks" / "gpu" / "parts.py").write_text(code)
    (project / "broken.py").rename(project / "benchmarks" / "gpu" / "broken.py")
    monkeypatch.setattr(gpu, "ROOT", project)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    assert gpu.measure(["e"], minutes=60, results_file=project / "results.json") == 1
    found = json.loads((project / "results.json").read_text())["parts"]["e"]
    assert found["seen"] == 1
    assert "the GPU is gone" in found["log"]


def test_minutes_of_the_entries_with_a_gpu(project: Path) -> None:
    rows = {row["entry"]: row for row in projection.project(STEP, None)}
    assert rows.keys() == {"cars-b6", "dogs-vs-cats-b6", "intel-b6"}
    cars = rows["cars-b6"]
    # By hand, of five folds: 12,449 of 15,561 images train in each.
    cost = 1 + 2 * 31 / 47  # forth, and back twice through 31 of 47 blocks
    pixel = 0.024 / cost / (8 * 400**2)
    features = (2 * 12449 + 3112) * 320**2
    upper = 20 * (389 * 32 * 320**2 * cost + 3112 * 320**2)
    large = 3 * (778 * 16 * 456**2 * cost + 3112 * 456**2)
    predicted = (3112 + 6675) * 8 * 456**2
    seconds = 5 * pixel * (features + upper + large + predicted)
    reading = (15561 + 6675) / projection.READ
    assert cars["here"] == pytest.approx((seconds + reading + 3 * 180) / 60, rel=0.01)
    low, high = cars["two T4s"]
    assert low == pytest.approx(cars["here"] * 790 / 130)
    assert high == pytest.approx(cars["here"] * 4300 / 640)
    faster = projection.project(STEP, {"images_a_second": [1e6], "views": 4, "image_size": 400})
    assert faster[0]["here"] < cars["here"]


def test_a_packed_benchmark_has_all_it_needs(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = get_entry("cars-b4-cpu").recipe(())
    file = weights_file(recipe.backbone, recipe.weights)
    kernel = np.random.default_rng(0).normal(size=(3, 3, 8)).astype(np.float32)
    pretrained = project / "weights" / "pretrained"
    pretrained.mkdir(parents=True)
    with h5py.File(pretrained / file, "w") as stub:
        stub.attrs["layer_names"] = [b"stem"]
        stub["stem/stem/kernel:0"] = kernel
        stub["stem/stem/count"] = 7
    monkeypatch.setattr(packing, "PART_BYTES", 900_000)
    text = packing.pack(
        project / "packed",
        "cars-b4-cpu",
        lambda folder: (folder / "keras-1-py3-none-any.whl").write_bytes(b"wheel"),
    )
    archives = sorted((project / "packed").iterdir())
    assert len(archives) > 1
    assert all(archive.stat().st_size <= 900_000 for archive in archives)
    assert f"{len(archives)} parts" in text
    there = project / "there"
    for archive in archives:
        with tarfile.open(archive) as files:
            files.extractall(there, filter="data")
    for name in ("src/podium/cli/__init__.py", "kernels/cars-b6/recipe.toml", "wheels"):
        assert (there / name).exists()
    assert len(list((there / "input").rglob("*.jpg"))) == 45
    monkeypatch.chdir(there)
    [restored] = packing.restore_weights()
    assert restored == find_weights(file)
    with h5py.File(restored) as weights:
        assert weights["stem/stem/kernel:0"].dtype == np.float32
        np.testing.assert_allclose(weights["stem/stem/kernel:0"], kernel, rtol=1e-3)
        assert weights["stem/stem/count"][()] == 7
        assert weights.attrs["layer_names"].item() in ("stem", b"stem")
    assert packing.restore_weights() == []  # they are there


def test_results_are_named_by_the_device() -> None:
    assert gpu.file_name("1 × NVIDIA H200") == "1-nvidia-h200"


def test_a_folder_with_something_in_it_is_not_packed_into(project: Path) -> None:
    with pytest.raises(ValueError, match="has something in it"):
        packing.pack(project / "input", "cars-b4-cpu")


def test_wheels_are_those_of_the_lock() -> None:
    locked = set(re.findall(r"^([\w-]+==[\w.]+)", (ROOT / "requirements.lock").read_text(), re.M))
    assert {wheel for wheel in packing.WHEELS if wheel not in locked} == {"stringzilla==3.12.6"}


def test_quick_is_as_the_full_size_but_smaller() -> None:
    assert parts.QUICK.small[0] == parts.Sizes().small[0]
    assert parts.QUICK.large_recipe().image_size < parts.Sizes().large_recipe().image_size
