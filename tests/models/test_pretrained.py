"""Pretrained weights: found on disk, really loaded, and errors that say what to do."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from podium.files.untrusted import ForeignFile
from podium.models.backbones import BACKBONES, get_backbone
from podium.models.pretrained import (
    WEIGHTS_FILES,
    MissingWeights,
    build_pretrained,
    find_weights,
    weights_file,
)

FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"  # the quickest network to build
CLOSED_PORT = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project and an empty home, with no way out to the internet."""
    project = tmp_path / "project"
    (project / "kernels").mkdir(parents=True)
    monkeypatch.chdir(project)
    monkeypatch.delenv("PODIUM_PRETRAINED", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home" / ".keras"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, CLOSED_PORT)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    return project


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of VGG16's weights as the packages publish them; each weight is full of its number."""
    network = get_backbone("vgg16").build(None)
    for number, weight in enumerate(network.weights):
        weight.assign(np.full(weight.shape, number / 100, np.float32))
    path = tmp_path_factory.mktemp("weights") / "vgg16.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return path


def put(file: Path, folder: Path, name: str = FILE) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(file)


def arrived(network: keras.Model) -> bool:
    return all(
        np.all(weight.numpy() == np.float32(number / 100))
        for number, weight in enumerate(network.weights)
    )


def test_found_in_the_project(saved: Path, project: Path) -> None:
    put(saved, project / "weights" / "pretrained")
    assert arrived(build_pretrained(get_backbone("vgg16"), "imagenet"))


def test_found_where_the_environment_says_first(
    saved: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.h5"
    broken.write_bytes(b"no weights at all")
    put(broken, project / "weights" / "pretrained")
    put(saved, tmp_path / "elsewhere")
    monkeypatch.setenv("PODIUM_PRETRAINED", str(tmp_path / "elsewhere"))
    assert find_weights(FILE) == tmp_path / "elsewhere" / FILE
    assert arrived(build_pretrained(get_backbone("vgg16"), "imagenet"))


def test_found_where_keras_keeps_its_downloads(saved: Path, tmp_path: Path) -> None:
    put(saved, tmp_path / "home" / ".keras" / "models")
    assert arrived(build_pretrained(get_backbone("vgg16"), "imagenet"))


def test_a_path_of_ones_own(saved: Path, tmp_path: Path) -> None:
    network = build_pretrained(get_backbone("vgg16"), str(saved))
    assert arrived(network)
    network.save_weights(tmp_path / "todays.weights.h5")
    assert arrived(build_pretrained(get_backbone("vgg16"), str(tmp_path / "todays.weights.h5")))


def test_none_is_random() -> None:
    network = build_pretrained(get_backbone("resnet-small"), "none")
    assert np.std(network.get_layer("stem_conv").get_weights()[0]) > 0


@pytest.mark.parametrize(
    ("backbone", "weights"),
    [
        ("efficientnet-b0", "imagenet"),
        ("efficientnet-b0", "noisy-student"),
        ("vgg16", "imagenet"),
        ("resnet50", "imagenet"),
        ("inceptionv3", "imagenet"),
        ("inceptionresnetv2", "imagenet"),
        ("efficientnetv2-b0", "imagenet"),
        ("convnext-tiny", "imagenet"),
    ],
)
def test_offline_the_error_names_the_file_the_places_and_two_ways(
    backbone: str, weights: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_PRETRAINED", str(tmp_path / "elsewhere"))
    file = WEIGHTS_FILES[backbone][weights]
    with pytest.raises(MissingWeights) as error:
        build_pretrained(get_backbone(backbone), weights)
    message = str(error.value)
    assert message.startswith(f"{file} is in none of ")
    for place in (
        tmp_path / "elsewhere",
        project / "weights" / "pretrained",
        tmp_path / "home" / ".keras" / "models",
    ):
        assert str(place) in message
    assert "with the internet on" in message
    assert "copy the file into weights/pretrained/" in message
    # The package tried to fetch the very file that we look for: other names are never found.
    assert f"/{file}" in str(error.value.__cause__)


def test_every_backbone_has_its_line_in_the_table_of_files() -> None:
    assert set(WEIGHTS_FILES) == set(BACKBONES)
    for kind in ("small", "base", "large", "xlarge"):
        assert hasattr(
            keras.applications, {"xlarge": "ConvNeXtXLarge"}.get(kind, f"ConvNeXt{kind.title()}")
        )
        assert weights_file(f"convnext-{kind}", "imagenet") == f"convnext_{kind}_notop.h5"
    for kind in ("b1", "b2", "b3", "s", "m", "l"):
        assert hasattr(keras.applications, f"EfficientNetV2{kind.upper()}")
        assert weights_file(f"efficientnetv2-{kind}", "imagenet").startswith(
            f"efficientnetv2-{kind}_"
        )


def test_published_files_of_newer_backbones_load(tmp_path: Path) -> None:
    """They were written of networks with the layers that preprocess, which have no weights."""
    for name, package in (
        ("efficientnetv2-b0", "EfficientNetV2B0"),
        ("convnext-tiny", "ConvNeXtTiny"),
    ):
        make = getattr(keras.applications, package)
        published = make(weights=None, include_top=False, input_shape=(None, None, 3))
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, published)
        loaded = build_pretrained(get_backbone(name), str(path))
        for mine, theirs in zip(loaded.weights, published.weights, strict=True):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_weights_of_another_backbone_are_refused(saved: Path, project: Path) -> None:
    put(saved, project / "weights" / "pretrained", weights_file("resnet50", "imagenet") or "")
    with pytest.raises(MissingWeights, match=r"resnet50_.* does not hold weights of resnet50"):
        build_pretrained(get_backbone("resnet50"), "imagenet")
    with pytest.raises(MissingWeights, match="does not hold weights of resnet-small"):
        build_pretrained(get_backbone("resnet-small"), str(saved))


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"\x89HDF\r\n\x1a\n cut off"])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "broken.h5"
    broken.write_bytes(content)
    with pytest.raises(ForeignFile, match=r"broken\.h5 is (no HDF5 file|damaged)"):
        build_pretrained(get_backbone("resnet-small"), str(broken))


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights) as error:
        build_pretrained(get_backbone("efficientnet-b0"), "imagenett")
    assert str(error.value) == (
        "weights of efficientnet-b0: expected imagenet, noisy-student, none or the path of an "
        ".h5 file, came 'imagenett', which is no file"
    )
    with pytest.raises(MissingWeights, match="which is no file"):
        build_pretrained(get_backbone("resnet-small"), "imagenet")
    with pytest.raises(MissingWeights, match="which is no file"):
        build_pretrained(get_backbone("vgg16"), str(tmp_path))
