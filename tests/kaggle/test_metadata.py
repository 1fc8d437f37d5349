"""kernel-metadata.json: what Kaggle would ignore or misunderstand is refused before any call."""

import json
from pathlib import Path
from typing import Any

import pytest
from slugify import slugify

from podium.kaggle.machines import MACHINES
from podium.kaggle.metadata import (
    MetadataError,
    check_machine,
    check_runs,
    check_sources,
    kernel_title,
    read_metadata,
)
from podium.recipes.entries import Entry
from small_competitions import write_entry

RECIPE = """
competition = "{competition}"
backbone = "{backbone}"
weights = "{weights}"
"""
CARS = "sf-dl-car-classification"
PRETRAINED = "OWNER/podium-pretrained"


def entry(
    folder: Path,
    competition: str = "cars",
    backbone: str = "resnet-small",
    weights: str = "none",
    **metadata: Any,
) -> Entry:
    recipe = RECIPE.format(competition=competition, backbone=backbone, weights=weights)
    return Entry(write_entry(folder, "tiny", recipe, **metadata))


def refusal(entry: Entry) -> str:
    with pytest.raises(MetadataError) as caught:
        read_metadata(entry)
    return str(caught.value).removeprefix(f"{entry.metadata}: ")


def test_good_metadata_is_taken_as_it_is(tmp_path: Path) -> None:
    metadata = read_metadata(entry(tmp_path, dataset_sources=["a-1/b_2", "a/b/3"]))
    assert (metadata.owner, metadata.id) == ("OWNER", "OWNER/podium-tiny")
    assert metadata.dataset_sources == ["a-1/b_2", "a/b/3"]
    assert metadata.enable_internet is False


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"enable_intenet": True}, ["enable_intenet: unknown key", "enable_internet"]),
        (
            {"enable_gpu": True},
            ["enable_gpu: unknown key; see docs/kaggle.md"],
        ),
        ({"is_private": "yes"}, ["is_private: came 'yes'"]),
        ({"competition_sources": CARS}, ["competition_sources: came 'sf-dl", "list"]),
        (
            {"machine_shape": "TpuV38"},
            ["machine_shape: came 'TpuV38', which", "write 'TpuV5E8'"],
        ),
        (
            {"machine_shape": "NvidiaT4"},
            ["came 'NvidiaT4', should be one of NvidiaTeslaT4, TpuV5E8"],
        ),
        ({"language": "r"}, ["language: came 'r', should be 'python'"]),
        ({"kernel_type": "book"}, ["kernel_type: came 'book', should be 'script' or 'notebook'"]),
        ({"title": "podium cars"}, ["title: came 'podium cars', should be 'podium tiny'"]),
        ({"id": "OWNER/podium-tinny"}, ["id: came 'OWNER/podium-tinny'", "OWNER/podium-tiny"]),
        ({"id": "podium-tiny"}, ["id: came 'podium-tiny', should be 'OWNER/podium-tiny'"]),
        ({"id": "a/podium-tiny/3"}, ["id: came 'a/podium-tiny/3', should be 'a/podium-tiny'"]),
        ({"code_file": "kernel.ipynb"}, ["code_file: came 'kernel.ipynb', should be 'kernel.py'"]),
    ],
)
def test_what_kaggle_would_misunderstand_is_refused(
    tmp_path: Path, changes: dict[str, Any], parts: list[str]
) -> None:
    message = refusal(entry(tmp_path, **changes))
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_all_wrong_keys_are_named_at_once(tmp_path: Path) -> None:
    message = refusal(entry(tmp_path, enable_gpu=True, is_private="yes"))
    assert "enable_gpu" in message and "is_private" in message


def test_internet_must_be_written_out(tmp_path: Path) -> None:
    made = entry(tmp_path)
    about = json.loads(made.metadata.read_text())
    del about["enable_internet"]
    made.metadata.write_text(json.dumps(about))
    assert "enable_internet: is missing" in refusal(made)


def test_an_entry_without_the_file_is_for_this_machine(tmp_path: Path) -> None:
    made = entry(tmp_path)
    made.metadata.unlink()
    assert "is missing: tiny is meant for this machine" in refusal(made)


def test_no_json_is_told(tmp_path: Path) -> None:
    made = entry(tmp_path)
    made.metadata.write_text("{")
    assert "is not valid JSON" in refusal(made)


def test_the_owner_is_filled_in_wherever_it_stands(tmp_path: Path) -> None:
    made = entry(tmp_path, dataset_sources=[PRETRAINED, "a/b"], kernel_sources=["OWNER/c-d-e"])
    metadata = read_metadata(made).filled("someone", "tiny-seed-1-fold-2")
    assert metadata.id == "someone/podium-tiny-seed-1-fold-2"
    assert metadata.title == "podium tiny-seed-1-fold-2"
    assert metadata.dataset_sources == ["someone/podium-pretrained", "a/b"]
    assert metadata.kernel_sources == ["someone/c-d-e"]


def test_long_names_stay_apart_within_kaggles_bounds() -> None:
    titles = {kernel_title("cars-b6" + "-image_size-224" * 4 + end) for end in ("-a", "-b")}
    assert len(titles) == 2
    for title in titles:
        assert len(title) <= 50
        assert len({slugify(title) for title in titles}) == 2
    assert slugify(kernel_title("cars-b6-head.dropout-0.5")) == "podium-cars-b6-head-dropout-0-5"


def check(made: Entry) -> None:
    check_sources(made, read_metadata(made), made.recipe())


def missing(made: Entry) -> str:
    """What is said to be missing; nothing where all is attached."""
    try:
        check(made)
    except MetadataError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("made", "part"),
    [
        ({"competition": "cars"}, f"competition_sources: .* add '{CARS}'"),
        ({"competition": "cars", "dataset_sources": [f"a/{CARS}"]}, "competition_sources"),
        ({"competition": "intel"}, "dataset_sources: .* 'puneet6060/intel-image-classification'"),
        ({"competition": "clocks-or-crocs"}, "a dataset of yours that holds the folder clocks"),
    ],
)
def test_missing_images_are_named(tmp_path: Path, made: dict[str, Any], part: str) -> None:
    with pytest.raises(MetadataError, match=part):
        check(entry(tmp_path, **made))


@pytest.mark.parametrize(
    "made",
    [
        {"competition": "cars", "competition_sources": [CARS]},
        {"competition": "intel", "dataset_sources": ["puneet6060/intel-image-classification/2"]},
        {"competition": "clocks-or-crocs", "dataset_sources": ["me/images"]},
        {"competition": "sample"},
    ],
)
def test_attached_images_are_seen(tmp_path: Path, made: dict[str, Any]) -> None:
    assert missing(entry(tmp_path, **made)) == ""


B6 = {"competition": "sample", "backbone": "efficientnet-b6", "weights": "noisy-student"}


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match=r"a dataset that holds efficientnet-b6_noisy-student"):
        check(entry(tmp_path, **B6))


@pytest.mark.parametrize("attached", [{"dataset_sources": [PRETRAINED]}, {"enable_internet": True}])
def test_weights_may_be_attached_or_downloaded(tmp_path: Path, attached: dict[str, Any]) -> None:
    assert missing(entry(tmp_path, **B6, **attached)) == ""


def test_images_are_no_weights(tmp_path: Path) -> None:
    intel = {**B6, "competition": "intel"}
    with pytest.raises(MetadataError, match="the recipe's weights are missing"):
        check(entry(tmp_path, **intel, dataset_sources=["puneet6060/intel-image-classification"]))


def test_a_path_of_this_machine_is_not_on_kaggle(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match=r"'/home/me/w\.h5' is a path of this machine"):
        check(entry(tmp_path, "sample", "efficientnet-b0", "/home/me/w.h5"))


def test_the_weights_of_a_run_need_no_file_and_a_name(tmp_path: Path) -> None:
    assert missing(entry(tmp_path / "a", "sample", "run:weights/cars-b6")) == ""
    assert missing(entry(tmp_path / "b", "sample", "efficientnet-b6", "run:cars-b6")) == ""
    with pytest.raises(
        MetadataError, match=r"'/home/me/run' is a path of this machine; name a run"
    ):
        check(entry(tmp_path / "c", "sample", "run:/home/me/run"))


def test_an_ensemble_needs_the_kernels_of_its_runs(tmp_path: Path) -> None:
    kernels = ["OWNER/podium-cars-b6", "OWNER/podium-cars-b4-fold-0", "OWNER/podium-cars-b4-fold-1"]
    made = entry(tmp_path, kernel_sources=kernels)
    check_runs(made, read_metadata(made), ["cars-b6", "cars-b4"])
    with pytest.raises(
        MetadataError, match="the run cars-b5 is missing: add 'OWNER/podium-cars-b5"
    ):
        check_runs(made, read_metadata(made), ["cars-b6", "cars-b5"])


def on_tpu(made: Entry, *overrides: str, hours: float | None = None) -> None:
    check_machine(made, read_metadata(made, on="tpu"), made.recipe(overrides), hours)


def test_the_machine_is_that_of_the_metadata_or_the_one_asked_for(tmp_path: Path) -> None:
    made = entry(tmp_path, machine_shape="TpuV5E8")
    assert read_metadata(made).machine is MACHINES["tpu"]
    assert read_metadata(made, on="gpu").machine_shape == "NvidiaTeslaT4"
    assert read_metadata(made, on="cpu").machine is MACHINES["cpu"]
    assert read_metadata(made, on="l4").machine is MACHINES["l4"]
    assert MACHINES["t4"] is MACHINES["gpu"] and MACHINES["v5e-8"] is MACHINES["tpu"]


@pytest.mark.parametrize("on", MACHINES)
def test_every_machine_takes_a_recipe(tmp_path: Path, on: str) -> None:
    made = entry(tmp_path)
    metadata = read_metadata(made, on=on)
    check_machine(made, metadata, made.recipe(["batch_size=16"]), hours=8.8)
    machine = metadata.machine
    assert machine.backend == ("jax" if str(machine.shape).startswith("Tpu") else "tensorflow")
    assert machine.minutes < 60 * machine.hours < 12 * 60


def test_what_a_tpu_cannot_do_is_said(tmp_path: Path) -> None:
    made = entry(tmp_path)
    stage = '[{unfreeze = "all", epochs = 1, learning_rate = 0.1, batch_size = 4}]'
    on_tpu(made, "batch_size=16", hours=8.5)
    with pytest.raises(MetadataError, match="8 cores share each batch: came 12,"):
        on_tpu(made, "batch_size=12")
    with pytest.raises(MetadataError, match="came 4, should be a multiple of 8, at the stages too"):
        on_tpu(made, f"stages={stage}")
    with pytest.raises(MetadataError, match=r"--hours: came 11, on a TPU v5e-8 at most 8\.8"):
        on_tpu(made, hours=11.0)
    check_machine(made, read_metadata(made), made.recipe(["batch_size=12"]), hours=11.0)


def test_another_image_would_run_without_the_tpu(tmp_path: Path) -> None:
    made = entry(tmp_path, docker_image="gcr.io/kaggle-images/python@sha256:abc")
    with pytest.raises(MetadataError, match="docker_image: in another image than the TPU's own"):
        on_tpu(made)
    on_tpu(entry(tmp_path / "own", docker_image="gcr.io/kaggle-private-byod/python-tpuvm:latest"))
