"""Files of weights and arrays from elsewhere; tests/robustness/strangers.py tries many more."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from podium.files.untrusted import ForeignFile, check_weights, opened_arrays


@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
def test_what_keras_writes_is_taken(tmp_path: Path, ending: str) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.BatchNormalization()(inputs)))
    path = tmp_path / f"model{ending}"
    model.save_weights(path) if ending == ".weights.h5" else model.save(path)
    check_weights(path)


def test_two_names_of_one_array_and_half_precision_are_taken(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/kernel"] = np.zeros((3, 2), np.float16)
        file["a/same"] = file["a/kernel"]
        file["a/up"] = file["a"]
        file["empty"] = np.zeros((0, 2), np.float32)
    check_weights(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("link", "said"),
    [
        (h5py.ExternalLink("/etc/passwd", "/a"), "/a is a link to another place or file"),
        (h5py.SoftLink("/b"), "/a is a link to another place or file"),
    ],
)
def test_links_are_refused(tmp_path: Path, link: object, said: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["b"], file["a"] = np.zeros(3), link
    with pytest.raises(ForeignFile, match=rf"a\.h5 is not read as weights: {said}. Delete it"):
        check_weights(tmp_path / "a.h5")


def test_values_of_another_file_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        whole = [("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("a", (4,), np.uint8, maxshape=(None,), external=whole)
    with pytest.raises(ForeignFile, match="the values of /a lie in another file"):
        check_weights(tmp_path / "a.h5")


def test_a_model_with_code_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda one: one * 2)(inputs))
    for name in ("model.keras", "model.h5"):
        model.save(tmp_path / name)
    with pytest.raises(ForeignFile, match=r"model\.keras is an archive, as a whole \.keras model"):
        check_weights(tmp_path / "model.keras")
    with pytest.raises(ForeignFile, match=r"a whole model with a Lambda layer, which is code"):
        check_weights(tmp_path / "model.h5")


def test_more_than_its_size_allows_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (10**5, 10**5), "f4", chunks=(10, 10))
    with pytest.raises(ForeignFile, match=r"unpacks to 40,000 MB, .* looks like a bomb"):
        check_weights(tmp_path / "a.h5")


def test_arrays_of_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", good=np.arange(3), evil=np.array([{}], dtype=object))
    with opened_arrays(tmp_path / "a.npz", "delete it") as arrays:
        assert arrays["good"].tolist() == [0, 1, 2]
    with (
        pytest.raises(ForeignFile, match=r"a\.npz is damaged, or not Podium's .*: delete it"),
        opened_arrays(tmp_path / "a.npz", "delete it") as arrays,
    ):
        arrays["evil"]
