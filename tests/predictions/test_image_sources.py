"""Which images are meant by what a user names."""

from collections.abc import Callable
from pathlib import Path

import pytest

from podium.files.image_io import UnreadableImage
from podium.predictions.image_download import CannotFetch
from podium.predictions.image_sources import find_sources

WriteImage = Callable[..., Path]


def test_a_folder_gives_its_images_sorted_and_nothing_else(
    tmp_path: Path, write_image: WriteImage
) -> None:
    for name in ("b.PNG", "a.jpg", "10.webp", "9.gif"):
        write_image(tmp_path / name)
    write_image(tmp_path / "deeper" / "c.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("notes.txt", ".hidden.png", "model.h5"):
        (tmp_path / name).write_text("no image")
    names = [Path(source.name).name for source in find_sources([tmp_path])]
    assert names == ["9.gif", "a.jpg", "b.PNG", "10.webp"]


def test_the_order_is_that_of_the_words(tmp_path: Path, write_image: WriteImage) -> None:
    folder = tmp_path / "some"
    inside = [write_image(folder / name) for name in ("a.png", "b.png")]
    alone = write_image(tmp_path / "z.png")
    words = [str(alone), str(folder), "http://127.0.0.1/x.png", str(alone)]
    names = [source.name for source in find_sources(words)]
    assert names == [str(alone), *map(str, inside), "http://127.0.0.1/x.png", str(alone)]


def test_a_folder_without_images_is_a_problem(tmp_path: Path) -> None:
    (source,) = find_sources([tmp_path])
    with pytest.raises(UnreadableImage, match=rf"^{tmp_path}: there is no image file in this"):
        source.read(16)


def test_an_image_comes_shrunk_and_never_enlarged(tmp_path: Path, write_image: WriteImage) -> None:
    (large,) = find_sources([write_image(tmp_path / "large.png", height=100, width=300)])
    assert large.read(20).pixels.shape == (20, 60, 3)
    assert large.read(200).pixels.shape == (100, 300, 3)


def test_an_address_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("file:///etc/hostname", "ftp://127.0.0.1/a.png", "S3://bucket/a.png"):
        (source,) = find_sources([word])
        with pytest.raises(CannotFetch, match="only http:// and https:// are fetched"):
            source.read(16)
    (source,) = find_sources(["http:a.png"])
    with pytest.raises(UnreadableImage, match=r"http:a\.png: there is no such file"):
        source.read(16)
