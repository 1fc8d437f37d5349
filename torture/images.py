"""A thousand damaged images: each is read right or named, memory is bounded, no test row is lost.

`python -m torture.images`: files cut short, with flipped bytes, lying headers, other endings,
turned, deep, moving, and what is no file at all (damage.py), read in a process of its own; the
largest images that are read; then a run whose test images are damaged.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from torture.damage import LOSSY, Damaged, saved, write_damaged
from torture.damaged_run import damaged_run
from torture.figures import ROOT, Figure, main, say

FILES, QUICK_FILES = 1000, 240
HANGS = 600  # seconds, for all files
MEGABYTES = 300  # of the process that reads the damaged files, none of which is large
LARGE_MEGABYTES = 1600  # with the largest images that are read; of a WebP Pillow has four copies
LARGE_SIDE = 9459  # whose square is just within MAX_PIXELS


@dataclass(frozen=True)
class Readings:
    """What a process made of a folder's images."""

    pixels: dict[str, np.ndarray]
    problems: dict[str, str]
    peak: float  # MB


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    count = QUICK_FILES if quick else FILES
    files = write_damaged(scratch / "damaged", count)
    found = read_all(scratch / "damaged", scratch / "found")
    bad = [text for file in files if (text := judged(file, found))]
    named = sum(file.path.name in found.problems for file in files)
    unnoticed = sum(_is_unnoticed(file, found) for file in files)
    figures = [
        Figure("damaged images", len(files), f"= {count}"),
        Figure("neither read right nor named", len(bad), "= 0", "; ".join(bad[:5])),
        Figure("of them named", named),
        Figure("damage that no decoder notices", unnoticed, note="decoded as Pillow decodes it"),
        Figure("memory of the reading process, MB", found.peak, f"≤ {MEGABYTES}"),
        *_to_the_web(files),
    ]
    if not quick:
        figures += _large(scratch)
    return [*figures, *damaged_run(files, scratch, quick)]


def read_all(folder: Path, results: Path) -> Readings:
    """Read a folder's images in a process of its own, which ends or is a finding."""
    results.mkdir()
    command = [sys.executable, "-m", "torture.reader", str(folder), str(results)]
    subprocess.run(
        command, cwd=ROOT, check=True, timeout=HANGS, stdout=sys.stderr, stderr=subprocess.DEVNULL
    )
    about = json.loads((results / "problems.json").read_text())
    pixels = {path.stem: np.load(path) for path in results.glob("*.npy")}
    return Readings(pixels, about["problems"], about["peak"])


def judged(file: Damaged, found: Readings) -> str:
    """What is wrong with what became of a file; "" if nothing is."""
    problem = found.problems.get(file.path.name)
    if problem is not None:
        right = problem.startswith(f"{file.path}: ") and "\n" not in problem
        return "" if right and file.must != "be read" else f"{file.what}: {problem}"
    image = found.pixels.get(file.path.name)
    if image is None:
        return "" if file.must == "be decoded" else f"{file.what}: is read as a huge one"
    if file.must == "be named":
        return f"{file.what}: was read as {image.shape}"
    expected = other_decoder(file.path) if file.must == "be decoded" else file.truth
    gap = difference(image, expected)
    return "" if gap <= LOSSY else f"{file.what}: {gap:.1f} from what it should be"


def difference(image: np.ndarray, expected: np.ndarray | None) -> float:
    """The mean difference of two images, of 255; 255 where they differ in size."""
    if expected is None or image.shape != expected.shape:
        return 255.0
    return float(np.abs(image.astype(int) - expected.astype(int)).mean())


def other_decoder(path: Path) -> np.ndarray | None:
    """What Pillow makes of a file, in the shortest way."""
    try:
        with Image.open(BytesIO(path.read_bytes())) as pil_image:
            pil_image.load()
            upright = ImageOps.exif_transpose(pil_image)
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                white = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(white, upright)
            return np.array(upright.convert("RGB"))
    except Exception as error:  # decoders raise anything for broken bytes
        say(f"{path.name}: {error}")
        return None


def _is_unnoticed(file: Damaged, found: Readings) -> bool:
    image = found.pixels.get(file.path.name)
    return file.must == "be decoded" and image is not None and difference(image, file.truth) > LOSSY


def _to_the_web(files: list[Damaged]) -> list[Figure]:
    """The same bytes as uploads: answered, or refused with a status of the sender's mistakes."""
    from fastapi import HTTPException

    from podium.serving.schema import RequestLimits
    from podium.serving.uploads import decode_upload

    bad, sent = [], 0
    for file in files:
        if not file.path.is_file() or file.path.stat().st_size > 1e6:
            continue
        sent += 1
        try:
            square = decode_upload("a.jpg", file.path.read_bytes(), RequestLimits(), 32, 16)
        except HTTPException as error:
            if error.status_code not in (413, 415, 422) or "a.jpg" not in error.detail:
                bad.append(f"{file.what}: {error}")
        except Exception as error:  # whatever else it is, it is a finding
            bad.append(f"{file.what}: {type(error).__name__}: {error}")
        else:
            if square.pixels.shape != (16, 16, 3):
                bad.append(f"{file.what}: {square.pixels.shape}")
    note = "; ".join([f"of {sent}", *bad[:3]])
    return [Figure("uploads neither answered nor refused", len(bad), "= 0", note)]


def _large(scratch: Path) -> list[Figure]:
    """The largest images that are read, in each mode that takes memory of its own."""
    folder = scratch / "large"
    folder.mkdir()
    side = (LARGE_SIDE, LARGE_SIDE)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, mode, kind, options in (
        ("clear.png", "RGBA", "PNG", {"exif": exif}),
        ("clear.tif", "RGBA", "TIFF", {"compression": "tiff_lzw"}),
        ("palette.gif", "P", "GIF", {"transparency": 0}),
        ("palette.png", "P", "PNG", {"transparency": 0}),
        ("deep.png", "I;16", "PNG", {}),
        ("real.tif", "F", "TIFF", {"compression": "tiff_deflate"}),
        ("print.jpg", "CMYK", "JPEG", {}),
        ("plain.jpg", "RGB", "JPEG", {}),
        ("steps.jpg", "RGB", "JPEG", {"progressive": True, "exif": exif}),
        ("web.webp", "RGBA", "WEBP", {"lossless": True, "quality": 0, "method": 0}),
    ):
        say(f"drawing {name}")
        (folder / name).write_bytes(saved(Image.new(mode, side), kind, **options))
    found = read_all(folder, scratch / "large found")
    bad = [f"{name}: {problem}" for name, problem in found.problems.items()]
    what = f"largest images ({LARGE_SIDE} × {LARGE_SIDE})"
    return [
        Figure(f"{what} that are not read", len(bad), "= 0", "; ".join(bad)),
        Figure(f"{what}: memory, MB", found.peak, f"≤ {LARGE_MEGABYTES}"),
    ]


if __name__ == "__main__":
    main(campaign)
