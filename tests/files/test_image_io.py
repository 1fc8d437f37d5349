"""Reading: every way of storing an image comes out as uint8 RGB, and no half image does."""

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from podium.files.image_io import (
    UnreadableImage,
    decode_sized,
    is_image,
    read_image,
    read_orientation,
    resize,
)

RED = (200, 30, 40)


def save(path: Path, pil_image: Image.Image, **options: object) -> Path:
    pil_image.save(path, **options)
    return path


@pytest.fixture
def two_colors() -> Image.Image:
    """Left half red, right half blue, 40 wide and 20 high."""
    image = np.zeros((20, 40, 3), dtype=np.uint8)
    image[:, :20] = RED
    image[:, 20:] = (10, 20, 220)
    return Image.fromarray(image)


def assert_image(image: np.ndarray, height: int, width: int) -> None:
    assert image.dtype == np.uint8
    assert image.shape == (height, width, 3)


@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "tiff", "gif"])
def test_colors_keep_their_place_and_order(
    tmp_path: Path, two_colors: Image.Image, suffix: str
) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    image = read_image(save(tmp_path / f"a.{suffix}", two_colors, **options))
    assert_image(image, 20, 40)
    np.testing.assert_array_equal(image[10, 5], RED)
    np.testing.assert_array_equal(image[10, 35], (10, 20, 220))


def test_jpeg_is_close(tmp_path: Path, two_colors: Image.Image) -> None:
    image = read_image(save(tmp_path / "a.jpg", two_colors, quality=95))
    assert_image(image, 20, 40)
    np.testing.assert_allclose(image[10, 5], RED, atol=6)


def test_cmyk_jpeg_is_not_inverted(tmp_path: Path, two_colors: Image.Image) -> None:
    image = read_image(save(tmp_path / "a.jpg", two_colors.convert("CMYK"), quality=95))
    np.testing.assert_allclose(image[10, 5], RED, atol=12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(
    tmp_path: Path, two_colors: Image.Image, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_image(save(tmp_path / "a.png", two_colors, exif=exif))
    red_at = {
        1: (10, 5), 4: (10, 5),
        2: (10, 35), 3: (10, 35),
        5: (5, 10), 6: (5, 10),
        7: (35, 10), 8: (35, 10),
    }[orientation]  # fmt: skip
    assert_image(image, *((20, 40) if orientation < 5 else (40, 20)))
    np.testing.assert_array_equal(image[red_at], RED)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_exif_turns_jpegs_too(tmp_path: Path, two_colors: Image.Image, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_image(save(tmp_path / "a.jpg", two_colors, exif=exif, quality=95))
    assert_image(image, *((40, 20) if orientation == 6 else (20, 40)))
    red_at = {1: (10, 5), 3: (10, 35), 6: (5, 10)}[orientation]
    np.testing.assert_allclose(image[red_at], RED, atol=6)


@pytest.mark.parametrize("orientation", range(10))  # 0 and 9 mean nothing, and are in use
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_the_size_is_that_of_the_image_that_is_read(
    tmp_path: Path, two_colors: Image.Image, suffix: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{suffix}", two_colors, exif=exif)
    size = decode_sized(path.read_bytes(), "a", shorter_side=1).size
    assert size[::-1] == read_image(path).shape[:2]
    assert read_orientation(path)[0] == size
    assert size == ((20, 40) if 5 <= orientation <= 8 else (40, 20))


def test_the_size_is_told_by_content_and_not_by_name(
    tmp_path: Path, two_colors: Image.Image
) -> None:
    for kind in ("PNG", "GIF", "BMP"):
        path = save(tmp_path / f"{kind}.jpg", two_colors, format=kind)
        assert read_orientation(path)[0] == (40, 20)
        assert_image(read_image(path), 20, 40)


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_what_is_no_image_has_no_size(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImage) as caught:
        read_orientation(path)[0]
    why = "there is no such file" if content is None else "has no size"
    assert str(caught.value).startswith(f"{path}: {why}")


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}, {"quality": 20}],
    ids=str,
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpegs_have_the_pixels_that_pillow_gives_them(
    tmp_path: Path, mode: str, options: dict[str, object]
) -> None:
    path = save(tmp_path / "a.jpg", blurred(75, 101).convert(mode), **options)
    with Image.open(path) as pil_image:
        expected = np.array(pil_image.convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)
    path.write_bytes(path.read_bytes() + b"and more")  # after the end of the image
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("kind", ["jpg", "progressive jpg", "png"])
@pytest.mark.parametrize(
    ("enough", "side"), [(301, 300), (300, 300), (151, 300), (150, 150), (70, 75), (1, 38)]
)
def test_a_large_jpeg_is_decoded_small_but_never_too_small(
    tmp_path: Path, kind: str, enough: int, side: int
) -> None:
    pil_image = blurred(400, 300)
    options = {"progressive": True} if kind.startswith("progressive") else {}
    image = read_image(save(tmp_path / f"a.{kind[-3:]}", pil_image, **options), enough)
    width, height = (400, 300) if kind == "png" else (-(-400 * side // 300), side)
    assert abs(image.shape[1] - width) <= 1
    assert image.shape[0] == height
    small = np.array(pil_image.resize(image.shape[1::-1], Image.Resampling.BOX)).astype(int)
    assert np.abs(image - small).mean() < 3


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_matter(tmp_path: Path, two_colors: Image.Image) -> None:
    path = save(tmp_path / "a.jpg", two_colors, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f", quality=95)
    assert_image(read_image(path), 20, 40)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_gray_and_one_bit(tmp_path: Path, mode: str) -> None:
    values = np.zeros((6, 8), dtype=np.uint8)
    values[:, 4:] = 255
    image = read_image(save(tmp_path / "a.png", Image.fromarray(values).convert(mode)))
    np.testing.assert_array_equal(image, np.repeat(values[..., None], 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image = read_image(save(tmp_path / f"a.{suffix}", Image.fromarray(values)))
    assert_image(image, 16, 16)
    np.testing.assert_array_equal(image[..., 0].ravel(), np.arange(256))


def test_dark_sixteen_bits_stay_dark(tmp_path: Path) -> None:
    values = np.full((4, 4), 257 * 3, dtype=np.uint16)
    image = read_image(save(tmp_path / "a.png", Image.fromarray(values)))
    np.testing.assert_array_equal(image, np.full((4, 4, 3), 3))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_over_white(tmp_path: Path, mode: str) -> None:
    values = np.zeros((4, 8, 4), dtype=np.uint8)
    values[:, 4:, 3] = 255  # left transparent black, right opaque black
    pil_image = Image.fromarray(values)
    path = tmp_path / "a.png"
    if mode == "P":
        palette = Image.fromarray((values[..., 3] // 255).astype(np.uint8), mode="P")
        palette.putpalette([90, 90, 90, 0, 0, 0])
        save(path, palette, transparency=0)
    else:
        save(path, pil_image.convert(mode))
    image = read_image(path)
    np.testing.assert_array_equal(image[0, 0], (255, 255, 255))
    np.testing.assert_array_equal(image[0, 7], (0, 0, 0))


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 6), color) for color in (RED, (0, 255, 0))]
    path = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(path)[0, 0], RED)


def test_images_can_be_written_to(tmp_path: Path, two_colors: Image.Image) -> None:
    assert read_image(save(tmp_path / "a.png", two_colors)).flags.writeable


def blurred(width: int, height: int) -> Image.Image:
    """Soft colors all over, which JPEG keeps nearly as they are."""
    few = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(few).resize((width, height), Image.Resampling.BICUBIC)


def noisy_bytes(kind: str) -> bytes:
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_half_a_file_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    whole = noisy_bytes(kind)
    path = tmp_path / "half"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UnreadableImage, match="half"):
        read_image(path)


def test_truncated_jpeg_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(noisy_bytes("JPEG")[:-800])
    with pytest.raises(UnreadableImage, match=r"cut\.jpg: truncated"):
        read_image(path)


@pytest.mark.parametrize("at", [20, 0.4, 0.9], ids=["header", "pixels", "late"])
def test_a_png_with_altered_bytes_is_refused(tmp_path: Path, at: float) -> None:
    data = bytearray(noisy_bytes("PNG"))
    place = int(at if at > 1 else at * len(data))
    data[place : place + 3] = bytes(one ^ 0x55 for one in data[place : place + 3])
    path = tmp_path / "altered.png"
    path.write_bytes(data)
    with pytest.raises(UnreadableImage, match=r"altered\.png: "):
        read_image(path)


def test_a_png_that_was_stored_with_another_length_in_front_is_refused(tmp_path: Path) -> None:
    pil_image = blurred(60, 44)
    buffer = io.BytesIO()
    pil_image.save(buffer, "PNG")
    data = buffer.getvalue()
    # Doubled bytes within the pixels: the decoder has all of its rows before it sees the end.
    path = tmp_path / "doubled.png"
    path.write_bytes(data[:-60] + data[-90:])
    with pytest.raises(UnreadableImage, match=r"doubled\.png: (broken|truncated)"):
        read_image(path)


@pytest.mark.parametrize("garbage", [b"\xff\xc8", b"\xff\xd8\xff"])
def test_foreign_bytes_within_a_jpeg_are_refused(tmp_path: Path, garbage: bytes) -> None:
    whole = noisy_bytes("JPEG")
    middle = len(whole) // 2
    path = tmp_path / "mixed.jpg"
    path.write_bytes(whole[:middle] + garbage * 50 + whole[middle:])
    with Image.open(path) as pil_image, pytest.raises(OSError):
        pil_image.load()  # else this test would show nothing
    with pytest.raises(UnreadableImage, match=r"mixed\.jpg: broken"):
        read_image(path)


def test_each_problem_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.jpg").write_text("<html>404 Not Found</html>")
    for name, why in {
        "missing.jpg": "no such file",
        "empty.jpg": "empty",
        "page.jpg": "not an image",
        ".": "is a folder, a pipe or a device",
        "empty.jpg/a.jpg": "no such file",
        300 * "n": "cannot be read",
    }.items():
        with pytest.raises(UnreadableImage, match=why) as caught:
            read_image(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "zeros.jpg").symlink_to("/dev/zero")
    (tmp_path / "round.jpg").symlink_to("round.jpg")
    (tmp_path / "nowhere.jpg").symlink_to("gone.jpg")
    for name, why in {
        "pipe.jpg": "is a folder, a pipe or a device, and no file",
        "folder.jpg": "is a folder, a pipe or a device, and no file",
        "zeros.jpg": "is a folder, a pipe or a device, and no file",
        "round.jpg": "cannot be read",
        "nowhere.jpg": "there is no such file",
    }.items():
        for read in (read_image, read_orientation):
            with pytest.raises(UnreadableImage, match=why) as caught:
                read(tmp_path / name)
            assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_a_program_that_draws_is_not_run(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", blurred(8, 8), format="EPS")
    with pytest.raises(UnreadableImage, match="not an image in a known format"):
        read_image(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 60_000])
def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    with pytest.raises(UnreadableImage, match="too large"):
        read_image(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_jpeg_above_the_limit_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "large.jpg", Image.new("L", (9_500, 9_500)))
    with pytest.raises(UnreadableImage, match="too large"):
        read_image(path)
    with pytest.raises(UnreadableImage, match="too large"):
        read_image(path, shorter_side=100)


def test_shrinking_averages_and_does_not_alias() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::4] = 200
    np.testing.assert_allclose(resize(stripes, 8, 8), 50, atol=1)


def test_shrinking_a_little_is_near_a_careful_one() -> None:
    pil_image = blurred(90, 120)
    careful = np.array(pil_image.resize((72, 80), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(resize(np.array(pil_image), 80, 72) - careful).mean() < 1


def test_enlarging_is_smooth() -> None:
    edge = np.zeros((2, 2, 3), dtype=np.uint8)
    edge[:, 1] = 200
    row = resize(edge, 16, 16)[0, :, 0].astype(int)
    assert len(set(row)) > 4
    assert (np.diff(row) >= 0).all()


def test_resize_can_shrink_one_side_and_enlarge_the_other() -> None:
    stripes = np.zeros((64, 4, 3), dtype=np.uint8)
    stripes[::4] = 200
    resized = resize(stripes, 8, 16)
    assert resized.shape == (8, 16, 3)
    np.testing.assert_allclose(resized, 50, atol=1)


# --- Values that mean something else than they seem to

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def tiff(values: np.ndarray, photometric: int) -> bytes:
    """A TIFF of one strip of gray, as a camera's or a microscope's program writes it."""
    height, width = values.shape
    data, bits = values.astype(values.dtype.newbyteorder("<")).tobytes(), values.itemsize * 8
    form = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1}
    tags |= {278: height, 279: len(data), 339: form}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    end = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + end


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_the_bits_that_a_camera_has_are_scaled_to_eight(
    tmp_path: Path, suffix: str, bits: int
) -> None:
    values = np.rint(RAMP / 255 * (2**bits - 1)).astype(np.uint16)
    image = read_image(save(tmp_path / f"a.{suffix}", Image.fromarray(values)))
    np.testing.assert_array_equal(image[..., 1], RAMP)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_colors_of_few_bits_in_sixteen_are_refused_and_not_black(
    tmp_path: Path, suffix: str
) -> None:
    path, deep = tmp_path / f"a.{suffix}", np.repeat(RAMP[..., np.newaxis], 3, axis=2)
    assert cv2.imwrite(str(path), deep.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(path), deep)
    assert cv2.imwrite(str(path), deep.astype(np.uint16) * 16)
    with pytest.raises(UnreadableImage, match=rf"a\.{suffix}: .*12 bits or fewer in 16"):
        read_image(path)


@pytest.mark.parametrize("photometric", [0, 1], ids=["white is zero", "black is zero"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_tiff_may_count_from_white(tmp_path: Path, photometric: int, kind: type) -> None:
    scale = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255}[kind]
    path = tmp_path / "a.tiff"
    path.write_bytes(tiff((RAMP * np.array(scale)).astype(kind), photometric))
    np.testing.assert_array_equal(read_image(path)[..., 0], RAMP if photometric else 255 - RAMP)


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_floats_are_scaled_by_what_they_reach(tmp_path: Path, white: int) -> None:
    path = tmp_path / "a.tiff"
    path.write_bytes(tiff((RAMP * (white / 255)).astype(np.float32), 1))
    np.testing.assert_array_equal(read_image(path)[..., 0], RAMP)


@pytest.mark.parametrize("value", [-1, np.nan, np.inf])
def test_values_that_no_gray_has_are_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "a.tiff"
    path.write_bytes(tiff(np.array([[0, 1, value]], np.float32), 1))
    with pytest.raises(UnreadableImage, match=r"a\.tiff: .*values below 0 or no numbers"):
        read_image(path)


def bitmap(colors: np.ndarray, alpha: int) -> bytes:
    """A BMP of 32 bits whose header says that the fourth byte is alpha."""
    height, width, _ = colors.shape
    pixels = np.dstack([colors[::-1, :, ::-1], np.full((height, width), alpha, np.uint8)])
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, pixels.size, 0, 0, 0, 0)
    header += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(52)
    return struct.pack("<2sIHHI", b"BM", 122 + pixels.size, 0, 0, 122) + header + pixels.tobytes()


@pytest.mark.parametrize("alpha", [0, 255])
@pytest.mark.parametrize("suffix", ["bmp", "png", "ico", "tiff", "webp"])
def test_an_alpha_that_was_never_filled_hides_nothing(
    tmp_path: Path, suffix: str, alpha: int
) -> None:
    colors = np.random.default_rng(0).integers(1, 255, (16, 16, 3), dtype=np.uint8)
    path, rgba = tmp_path / f"a.{suffix}", np.dstack([colors, np.full((16, 16), alpha, np.uint8)])
    options = {"webp": {"lossless": True, "exact": True}, "ico": {"bitmap_format": "bmp"}}
    if suffix == "bmp":
        path.write_bytes(bitmap(colors, alpha))
    else:
        save(path, Image.fromarray(rgba), **options.get(suffix, {}))
    np.testing.assert_array_equal(read_image(path), colors)


# --- What counts as an image


@pytest.mark.parametrize("name", ["a", "a.JPG", "a.bin", "a.ppm", "a.jp2", "a.ico", "a.tga"])
def test_what_the_decoder_reads_is_an_image_whatever_its_name(tmp_path: Path, name: str) -> None:
    kinds = {"ppm": "PPM", "jp2": "JPEG2000", "ico": "ICO", "tga": "TGA"}
    path = save(tmp_path / name, blurred(16, 16), format=kinds.get(name[2:], "PNG"))
    assert is_image(path)
    assert_image(read_image(path), 16, 16)


@pytest.mark.parametrize(
    "data", [b"", b"a,b\n1,2\n", b"\x89HDF\r\n\x1a\n" + bytes(64), b"\0\0\1\xb3" + bytes(64)]
)
def test_what_it_does_not_read_is_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(data)
    assert not is_image(path)
    save(path, blurred(8, 8), format="EPS")
    assert not is_image(path)
    os.mkfifo(tmp_path / "pipe")
    assert not is_image(tmp_path / "pipe")
    path.rename(tmp_path / "a.jpeg")
    assert is_image(tmp_path / "a.jpeg"), "a broken one is named, and not passed over"
