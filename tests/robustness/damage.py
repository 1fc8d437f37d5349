"""Image files that are damaged, odd, or no images at all, with what is to become of each.

Odd but sound images, one by one, are in tests/files/test_image_io.py; here are those that a
mutation or a stranger makes.
"""

import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 60, 44
LOSSY = 6.0  # mean difference to the truth, of 255
ENDINGS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tif"}


@dataclass(frozen=True)
class Damaged:
    """A file, and what it is to be: read as the truth, named, or either of the two.

    Args:
        truth: uint8 (height, width, 3), where it is known.
        must: "be read", "be named", "be either" (the truth or an error), or "be any" (an error or
            any image: no decoder notices flipped bits of a JPEG).
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
    files = []
    for must, contents in (("be read", odd(pil_image)), ("be named", no_images(pil_image))):
        for name, data in contents:
            (folder / name).write_bytes(data)
            files.append(Damaged(folder / name, name, must, truth if must == "be read" else None))
    for name, (must, make) in no_files(folder, saved(pil_image, "JPEG")).items():
        make(folder / name)
        files.append(Damaged(folder / name, name, must, truth))
    dice = random.Random(seed)
    for number in range(count - len(files)):
        image = drawn(number + 1)
        kind = [*ENDINGS][number % len(ENDINGS)]
        what, must, data = _mutated(kind, saved(image, kind), dice)
        path = folder / f"mutated-{number}.{ENDINGS[kind]}"
        path.write_bytes(data)
        files.append(Damaged(path, f"{kind}, {what}, number {number}", must, np.array(image)))
    return files


def odd(pil_image: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Sound images under wrong names, with a tail, turned, of many frames."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = pil_image.transpose(Image.Transpose.ROTATE_90)
    frames = {"save_all": True, "append_images": [drawn(number) for number in (90, 91, 92)]}
    for kind in ENDINGS:
        for ending in ENDINGS.values():
            yield f"{kind}.{ending}", saved(pil_image, kind)
        yield f"tail-{kind}.jpg", saved(pil_image, kind) + bytes(500)
        if kind != "JPEG":
            yield f"frames.{ENDINGS[kind]}", saved(pil_image, kind, **frames)
        if kind != "GIF":
            yield f"turned-{kind}.jpg", saved(turned, kind, exif=exif)
    for kind in ("JPEG", "PNG", "WEBP"):
        broken = b"Exif\0\0II*\0" + b"\xff" * 60
        yield f"broken-exif-{kind}.jpg", saved(pil_image, kind, exif=broken)
    yield "print.jpg", saved(pil_image.convert("CMYK"), "JPEG")
    yield "opaque.png", saved(pil_image.convert("RGBA"), "PNG")


def no_images(pil_image: Image.Image) -> Iterator[tuple[str, bytes]]:
    """What is no image, or claims to be one that nobody can decode."""
    for kind in ENDINGS.values():
        yield f"empty.{kind}", b""
        yield f"zeros.{kind}", bytes(5000)
        yield f"page.{kind}", b"<!DOCTYPE html><title>404 Not Found</title>"
        yield f"noise.{kind}", random.Random(kind).randbytes(3000)
    yield "archive.jpg", b"PK\3\4" + bytes(100)
    yield "drawing.jpg", b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    yield "program.jpg", saved(pil_image, "EPS")
    for side in (10_000, 60_000):
        png, gif, jpeg = (saved(pil_image, kind) for kind in ("PNG", "GIF", "JPEG"))
        header = b"IHDR" + struct.pack(">II", side, side) + png[24:29]
        check = struct.pack(">I", zlib.crc32(header))
        yield f"claims-{side}.png", png[:12] + header + check + png[33:]
        yield f"claims-{side}.gif", gif[:6] + struct.pack("<HH", side, side) + gif[10:]
        at = jpeg.index(b"\xff\xc0") + 5
        yield f"claims-{side}.jpg", jpeg[:at] + struct.pack(">HH", side, side) + jpeg[at + 4 :]
    for kind in ENDINGS:
        data = saved(pil_image, kind)
        for share in (0.02, 0.3, 0.6):
            yield f"part-{kind}-{share}.jpg", data[: int(share * len(data))]


def no_files(folder: Path, data: bytes) -> dict[str, tuple[str, Callable[[Path], object]]]:
    """What a folder may hold beside files: what must become of it, and how it is made."""
    outside = folder.parent / "outside.bin"
    outside.write_bytes(data)

    def write_sparse(path: Path) -> None:
        path.write_bytes(data)
        os.truncate(path, 10**11)

    return {
        "folder.jpg": ("be named", Path.mkdir),
        "pipe.jpg": ("be named", os.mkfifo),
        "endless.jpg": ("be named", lambda path: path.symlink_to("/dev/zero")),
        "nowhere.jpg": ("be named", lambda path: path.symlink_to("gone.jpg")),
        "round.jpg": ("be named", lambda path: path.symlink_to("round.jpg")),
        "to-folder.jpg": ("be named", lambda path: path.symlink_to(folder)),
        "to-text.jpg": ("be named", lambda path: path.symlink_to("/etc/passwd")),
        "sparse.jpg": ("be named", write_sparse),
        "to-outside.jpg": ("be read", lambda path: path.symlink_to(outside)),
        "twice.jpg": ("be read", lambda path: path.hardlink_to(outside)),
    }


def _mutated(kind: str, data: bytes, dice: random.Random) -> tuple[str, str, bytes]:
    """What was done, what must come of it, and the bytes."""
    at = dice.randrange(len(data))
    end = min(at + dice.randint(1, 200), len(data))
    way = dice.choice(["cut", "flips", "flips", "zeros", "left out", "doubled", "header"])
    changed = bytearray(
        {
            "cut": data[:at],
            "zeros": data[:at] + bytes(end - at) + data[end:],
            "left out": data[:at] + data[end:],
            "doubled": data[:end] + data[at:],
        }.get(way, data)
    )
    if way == "flips":
        for _ in range(dice.randint(1, 20)):
            changed[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif way == "header":  # of which the sides are a part
        for _ in range(dice.randint(1, 4)):
            changed[dice.randrange(min(60, len(data)))] = dice.choice((0, 1, 127, 128, 255))
    # A PNG has a checksum over each of its parts.
    is_noticed = way == "cut" or kind == "PNG"
    return f"{way} at {at}", "be either" if is_noticed else "be any", bytes(changed)
