"""Copies of large images: the very images, decoded once, for any run."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from podium.data.batches import ImageCache
from podium.data.copies import read_shrunk, what_copies_bring
from podium.files.image_io import UnreadableImage, read_image, shrink


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    small = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(small).resize((400, 300)).save(tmp_path / "large.jpg", quality=92)
    return tmp_path / "large.jpg"


def kept(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_copy_is_the_very_image(photograph: Path, tmp_path: Path) -> None:
    expected = shrink(read_image(photograph, 40), 40)
    for _ in range(2):
        read = read_shrunk(photograph, 40, tmp_path / "copies")
        np.testing.assert_array_equal(read, expected)
    (copy,) = kept(tmp_path / "copies")
    Image.new("RGB", (5, 5), "red").save(copy)
    assert read_shrunk(photograph, 40, tmp_path / "copies").shape == (5, 5, 3), "it is what is read"
    assert read_shrunk(photograph, 40).shape == (40, 53, 3), "without a folder it is not"
    read_shrunk(photograph, 50, tmp_path / "copies")
    assert len(kept(tmp_path / "copies")) == 2, "one for each size"


def test_another_image_under_the_same_name_has_another_copy(
    photograph: Path, tmp_path: Path
) -> None:
    read_shrunk(photograph, 40, tmp_path / "copies")
    Image.new("RGB", (400, 300), "blue").save(photograph)
    assert read_shrunk(photograph, 40, tmp_path / "copies")[0, 0, 2] > 200


def test_a_damaged_copy_is_written_anew(photograph: Path, tmp_path: Path) -> None:
    first = read_shrunk(photograph, 40, tmp_path / "copies")
    (copy,) = kept(tmp_path / "copies")
    whole = copy.read_bytes()
    copy.write_bytes(whole[: len(whole) // 2])
    np.testing.assert_array_equal(read_shrunk(photograph, 40, tmp_path / "copies"), first)
    assert copy.read_bytes() == whole


def test_of_a_small_or_broken_image_there_is_none(photograph: Path, tmp_path: Path) -> None:
    read_shrunk(photograph, 200, tmp_path / "copies")
    photograph.write_bytes(photograph.read_bytes()[:900])
    with pytest.raises(UnreadableImage):
        read_shrunk(photograph, 40, tmp_path / "copies")
    assert not kept(tmp_path / "copies")


def test_the_cache_keeps_them(photograph: Path, tmp_path: Path) -> None:
    plain = ImageCache([photograph], 40, memory_share=0.0)
    copied = ImageCache([photograph], 40, memory_share=0.0, copies=tmp_path / "copies")
    for _ in range(2):
        np.testing.assert_array_equal(copied[0], plain[0])
    assert len(kept(tmp_path / "copies")) == 1


def test_check_tells_what_they_bring(photograph: Path, tmp_path: Path) -> None:
    assert what_copies_bring([]) == ""
    assert what_copies_bring([photograph]) == ""
    Image.open(photograph).resize((4000, 3000)).save(tmp_path / "12.jpg", quality=92)
    line = what_copies_bring([tmp_path / "12.jpg"] * 2)
    assert line.startswith("decoding: 12.0 megapixels and ")
    assert "copies = true pays: of 280 px" in line
