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
    assert check_weights(path) is None, "nothing is refused"


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/passwd", "/a"), h5py.SoftLink("/b")])
def test_links_are_refused(tmp_path: Path, link: object) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["b"], file["c/a"] = np.zeros(3), link
    with pytest.raises(ForeignFile, match=r"not read as weights: c/a lies elsewhere"):
        check_weights(tmp_path / "a.h5")


def test_values_of_another_file_are_refused(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4,), np.uint8)
    layout[:] = h5py.VirtualSource("/etc/passwd", "kernel", (4,))
    whole = [("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    for name in ("external", "virtual"):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            if name == "virtual":
                file.create_virtual_dataset(name, layout)
            else:
                file.create_dataset(name, (4,), np.uint8, maxshape=(None,), external=whole)
        with pytest.raises(ForeignFile, match=f"{name} lies elsewhere"):
            check_weights(tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["model.keras", "model.pkl", "model.h5"])
def test_other_formats_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\3\4 or a pickle")
    with pytest.raises(ForeignFile, match=r"is no HDF5 file whose name ends in \.h5"):
        check_weights(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        "version https://git-lfs.github.com/spec/v1\n",
        "<!DOCTYPE html>",
        "\ufeff\r\n\r\n<html>",
        '<?xml version="1.0"?><Error>AccessDenied</Error>',
    ],
)
def test_a_pointer_or_a_page_in_the_place_of_weights_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.h5").write_text(text)
    with pytest.raises(ForeignFile, match=r"a pointer of Git LFS, or a web page: fetch the file"):
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


def test_damaged_arrays_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", good=np.arange(1000))
    data = (tmp_path / "a.npz").read_bytes()
    for content in (data[:500], data.replace(b"NUMPY", b"numpy"), b"", np.arange(3).tobytes()):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(ForeignFile), opened_arrays(tmp_path / "a.npz", "") as arrays:
            arrays["good"]
