"""Image files that are damaged, odd, or no images at all, with what is to become of each."""

import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

WIDTH, HEIGHT = 60, 44
LOSSY = 6.0  # mean difference to the truth, of 255
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF")
ENDINGS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tif"}
ORIENTATION = 0x0112
# How an image is to be stored so that its EXIF turns it back, by the EXIF's number.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Damaged:
    """A file, and what it is to be: read as the truth, named, or either of the two.

    Args:
        truth: uint8 (height, width, 3), where it is known.
        must: "be read", "be named", "be either" (the truth or an error), or "be decoded" (an error
            or what another decoder makes of it: flipped bits of a JPEG are noticed by none).
    """

    path: Path
    what: str
    must: str
    truth: np.ndarray | None = None


def drawn(seed: int) -> Image.Image:
    """Soft colors that every format keeps nearly as they are."""
    few = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(few).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def saved(pil_image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    pil_image.save(buffer, kind, **options)
    return buffer.getvalue()


def write_damaged(folder: Path, count: int, seed: int = 0) -> list[Damaged]:
    """So many files: each odd one and each that is no image once, the rest mutated by a dice."""
    folder.mkdir(parents=True)
    pil_image = drawn(seed)
    truth = np.array(pil_image)
    files = [
        *_written(folder, "be read", truth, odd(pil_image)),
        *_written(folder, "be named", None, no_images(pil_image)),
        *_unusual(folder, saved(pil_image, "JPEG"), truth),
    ]
    dice = random.Random(seed)
    for number in range(count - len(files)):
        image = drawn(number + 1)
        kind = FORMATS[number % len(FORMATS)]
        what, must, data = _mutated(kind, saved(image, kind), dice)
        path = folder / f"mutated-{number}.{ENDINGS[kind]}"
        path.write_bytes(data)
        files.append(Damaged(path, f"{kind}, {what}, number {number}", must, np.array(image)))
    return files


def odd(pil_image: Image.Image) -> Iterator[tuple[str, str, bytes]]:
    """(file, what, bytes) of sound images as nobody expects them."""
    for kind in FORMATS:
        for other in FORMATS:
            yield f"{kind}.{ENDINGS[other]}", f"{kind} called {other}", saved(pil_image, kind)
        yield f"{kind}-tail.jpg", f"{kind} with a tail", saved(pil_image, kind) + bytes(500)
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        for number, stored in STORED.items():
            exif = Image.Exif()
            exif[ORIENTATION] = number
            turned = pil_image.transpose(stored) if stored is not None else pil_image
            yield f"turned-{kind}-{number}.jpg", f"EXIF {number}", saved(turned, kind, exif=exif)
    broken = b"Exif\0\0II*\0" + b"\xff" * 60
    for kind in ("JPEG", "PNG", "WEBP"):
        yield f"exif-{kind}.jpg", f"{kind} with broken EXIF", saved(pil_image, kind, exif=broken)
    options = ({"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 1})
    for number, option in enumerate(options):
        yield (
            f"jpeg-{number}.jpg",
            f"JPEG, {option}",
            saved(pil_image, "JPEG", quality=92, **option),
        )
    yield "cmyk.jpg", "CMYK JPEG, inverted as Adobe does", saved(pil_image.convert("CMYK"), "JPEG")
    yield "cmyk.tif", "CMYK TIFF", saved(pil_image.convert("CMYK"), "TIFF")
    yield "ycc.tif", "TIFF of JPEG", saved(pil_image, "TIFF", compression="jpeg", quality=95)
    for compression in ("tiff_lzw", "tiff_deflate", "packbits"):
        yield f"{compression}.tif", compression, saved(pil_image, "TIFF", compression=compression)
    deep = np.array(pil_image).astype(np.uint16) * 257
    for kind in ("png", "tif"):
        data = cv2.imencode(f".{kind}", cv2.cvtColor(deep, cv2.COLOR_RGB2BGR))[1].tobytes()
        yield f"deep.{kind}", f"16 bits a channel, {kind}", data
    rest = {"save_all": True, "append_images": [drawn(number) for number in (90, 91, 92)]}
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        yield f"moving.{ENDINGS[kind]}", f"{kind} of four", saved(pil_image, kind, **rest)
    opaque = pil_image.convert("RGBA")
    for kind in ("PNG", "WEBP", "TIFF"):
        yield f"opaque-{kind}.png", f"opaque RGBA {kind}", saved(opaque, kind)
    few = pil_image.quantize(256)
    yield "palette.png", "a palette", saved(few, "PNG")
    yield "bitmap.bmp", "BMP", saved(pil_image, "BMP")


def no_images(pil_image: Image.Image) -> Iterator[tuple[str, str, bytes]]:
    """(file, what, bytes) of what is no image, or claims to be one that nobody can decode."""
    for kind in ENDINGS.values():
        yield f"empty.{kind}", "an empty file", b""
        yield f"zeros.{kind}", "zeros", bytes(5000)
        yield f"page.{kind}", "a page", b"<!DOCTYPE html><title>404 Not Found</title>"
        yield f"noise.{kind}", "noise", random.Random(kind).randbytes(3000)
    yield "archive.jpg", "an archive", b"PK\3\4" + bytes(100)
    yield "drawing.jpg", "an SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    yield "program.jpg", "PostScript", saved(pil_image, "EPS")
    for side in (10_000, 60_000):
        yield f"claims-{side}.png", "a PNG's claim", _claiming_png(side)
        yield f"claims-{side}.gif", "a GIF's claim", _claiming_gif(pil_image, side)
        yield f"claims-{side}.jpg", "a JPEG's claim", _claiming_jpeg(pil_image, side)
    yield "claims.webp", "a WebP's claim", _claiming_webp(pil_image)
    yield "claims.tif", "a TIFF's claim", _claiming_tiff(pil_image)
    for kind in FORMATS:
        data = saved(pil_image, kind)
        for share in (0.02, 0.3, 0.6):
            part = data[: int(share * len(data))]
            yield f"part-{kind}-{share}.jpg", f"{share:.0%} of a {kind}", part


def _written(
    folder: Path, must: str, truth: np.ndarray | None, files: Iterator[tuple[str, str, bytes]]
) -> Iterator[Damaged]:
    for name, what, data in files:
        path = folder / name
        path.write_bytes(data)
        yield Damaged(path, what, must, truth)


def _unusual(folder: Path, data: bytes, truth: np.ndarray) -> Iterator[Damaged]:
    """What a folder may hold beside files, and images whose truth is another."""
    outside = folder.parent / "outside.bin"
    outside.write_bytes(data)
    makers: dict[str, tuple[str, Callable[[Path], object]]] = {
        "folder.jpg": ("be named", Path.mkdir),
        "pipe.jpg": ("be named", os.mkfifo),
        "endless.jpg": ("be named", lambda path: path.symlink_to("/dev/zero")),
        "nowhere.jpg": ("be named", lambda path: path.symlink_to("gone.jpg")),
        "round.jpg": ("be named", lambda path: path.symlink_to("round.jpg")),
        "to-folder.jpg": ("be named", lambda path: path.symlink_to(folder)),
        "to-text.jpg": ("be named", lambda path: path.symlink_to("/etc/passwd")),
        "to-outside.jpg": ("be read", lambda path: path.symlink_to(outside)),
        "twice.jpg": ("be read", lambda path: path.hardlink_to(outside)),
    }
    for name, (must, make) in makers.items():
        make(folder / name)
        yield Damaged(folder / name, name, must, truth)
    pil_image = Image.fromarray(truth)
    gray = np.array(pil_image.convert("L"))
    grays = np.repeat(gray[..., np.newaxis], 3, axis=2)
    deep = Image.fromarray(gray.astype(np.uint16) * 257)
    over_white = ((truth.astype(int) + 255) // 2).astype(np.uint8)
    half = pil_image.convert("RGBA")
    half.putalpha(128)
    for name, image, kind, known in (
        ("gray.jpg", pil_image.convert("L"), "JPEG", grays),
        ("deep-gray.png", deep, "PNG", grays),
        ("deep-gray.tif", deep, "TIFF", grays),
        ("real.tif", Image.fromarray(gray.astype(np.float32) / 255), "TIFF", grays),
        ("half.png", half, "PNG", over_white),
        ("half.webp", half, "WEBP", over_white),
        ("half.tif", half, "TIFF", over_white),
        ("half-gray.png", half.convert("LA"), "PNG", ((grays.astype(int) + 255) // 2)),
    ):
        (folder / name).write_bytes(saved(image, kind))
        yield Damaged(folder / name, name, "be read", np.asarray(known, np.uint8))
    few = pil_image.quantize(8)
    clear = np.where((np.array(few) == 0)[..., np.newaxis], 255, np.array(few.convert("RGB")))
    for kind in ("PNG", "GIF"):
        path = folder / f"clear-palette.{ENDINGS[kind]}"
        path.write_bytes(saved(few, kind, transparency=0))
        yield Damaged(path, f"a palette with a clear color, {kind}", "be read", clear)


def _mutated(kind: str, data: bytes, dice: random.Random) -> tuple[str, str, bytes]:
    """What was done, what must come of it, and the bytes."""
    changed = bytearray(data)
    at = dice.randrange(len(data))
    way = dice.choice(["cut", "flips", "flips", "zeros", "left out", "doubled", "header"])
    if way == "cut":
        return f"cut at {at}", "be either", data[:at]
    if way == "flips":
        for _ in range(dice.randint(1, 20)):
            changed[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif way == "zeros":
        end = min(len(data), at + dice.randint(1, 200))
        changed[at:end] = bytes(end - at)
    elif way == "left out":
        del changed[at : at + dice.randint(1, 200)]
    elif way == "doubled":
        changed[at:at] = data[at : at + dice.randint(1, 200)]
    else:  # of which the sides are a part
        for _ in range(dice.randint(1, 4)):
            changed[dice.randrange(min(60, len(data)))] = dice.choice((0, 1, 127, 128, 255))
    # A PNG has a checksum over each of its parts.
    return f"{way} at {at}", "be either" if kind == "PNG" else "be decoded", bytes(changed)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _claiming_png(side: int) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0))
    rest = _chunk(b"IDAT", zlib.compress(bytes(1000))) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + rest


def _claiming_gif(pil_image: Image.Image, side: int) -> bytes:
    data = saved(pil_image, "GIF")
    return data[:6] + struct.pack("<HH", side, side) + data[10:]


def _claiming_jpeg(pil_image: Image.Image, side: int) -> bytes:
    data = saved(pil_image, "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


def _claiming_webp(pil_image: Image.Image) -> bytes:
    data = saved(pil_image.convert("RGBA"), "WEBP", save_all=True, append_images=[drawn(1)])
    at = data.index(b"VP8X") + 12  # 24 bits a side, less one
    return data[:at] + b"\xfe\x3f\x00" * 2 + data[at + 6 :]


def _claiming_tiff(pil_image: Image.Image) -> bytes:
    data = bytearray(saved(pil_image, "TIFF"))
    for tag, value in ((0x0100, WIDTH), (0x0101, HEIGHT)):
        for size, kind in (("<HHIHH", 3), ("<HHII", 4)):
            field = struct.pack(size, tag, kind, 1, value, *([0] if kind == 3 else []))
            if field in data:
                at = data.index(field)
                data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 100_000)
    return bytes(data)
