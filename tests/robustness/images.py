"""A thousand damaged images: each is read right or named, memory is bounded, no test row is lost.

Files cut short, with altered bytes, lying headers, other endings, and what is no file at all
(damage.py), read in a process of its own; the largest images that are read; then a run whose
training and test images are damaged.
"""

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from podium.competitions import get_competition
from robustness.damage import LOSSY, Damaged, drawn, saved, write_damaged
from robustness.figures import Figure, say
from robustness.projects import PATCHES, RUN, environment, podium, write_entry

FILES, QUICK_FILES = 1000, 240
HANGS = 600  # seconds, for all files
MEGABYTES = 300  # of the process that reads the damaged files, none of which is large
LARGE_MEGABYTES = 1600  # with the largest images that are read; of a WebP Pillow has four copies
LARGE_SIDE = 9459  # whose square is just within the reader's limit
TRAINED = 40  # sound training images, of two kinds
EVERY = 5  # damaged files, of which the sample tests one; training gets one of ten


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
    return [
        Figure("damaged images", len(files), f"= {count}"),
        Figure.of_failures("neither read right nor named", bad),
        Figure("of them named", named),
        Figure("memory of the reading process, MB", found.peak, f"≤ {MEGABYTES}"),
        *([] if quick else largest(scratch)),
        *damaged_run(files, scratch, quick),
    ]


def read_all(folder: Path, results: Path) -> Readings:
    """Read a folder's images in a process of its own, which ends or is a finding."""
    results.mkdir()
    command = [sys.executable, "-m", "robustness.reader", str(folder), str(results)]
    quiet = {"stdout": sys.stderr, "stderr": subprocess.DEVNULL}
    subprocess.run(command, check=True, timeout=HANGS, env=environment(), **quiet)
    about = json.loads((results / "problems.json").read_text())
    pixels = {path.stem: np.load(path) for path in results.glob("*.npy")}
    return Readings(pixels, about["problems"], about["peak"])


def judged(file: Damaged, found: Readings) -> str:
    """What is wrong with what became of a file; "" if nothing is."""
    problem = found.problems.get(file.path.name)
    if problem is not None:
        is_right = problem.startswith(f"{file.path}: ") and "\n" not in problem
        return "" if is_right and file.must != "be read" else f"{file.what}: {problem}"
    image = found.pixels.get(file.path.name)
    if image is None:
        return "" if file.must == "be any" else f"{file.what}: is read as a huge one"
    if file.must == "be named":
        return f"{file.what}: was read as {image.shape}"
    if file.must == "be any":
        return ""
    if image.shape != file.truth.shape:
        return f"{file.what}: {image.shape}, not {file.truth.shape}"
    gap = float(np.abs(image.astype(int) - file.truth.astype(int)).mean())
    return "" if gap <= LOSSY else f"{file.what}: {gap:.1f} from what it should be"


def largest(scratch: Path) -> list[Figure]:
    """The largest images that are read, in each mode that takes memory of its own."""
    folder = scratch / "large"
    folder.mkdir()
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
        blank = Image.new(mode, (LARGE_SIDE, LARGE_SIDE))
        (folder / name).write_bytes(saved(blank, kind, **options))
    found = read_all(folder, scratch / "large found")
    bad = [f"{name}: {problem}" for name, problem in found.problems.items()]
    what = f"largest images ({LARGE_SIDE} × {LARGE_SIDE})"
    return [
        Figure.of_failures(f"{what} that are not read", bad),
        Figure(f"{what}: memory, MB", found.peak, f"≤ {LARGE_MEGABYTES}"),
    ]


def damaged_run(files: list[Damaged], scratch: Path, quick: bool) -> list[Figure]:
    """Train a competition that has damaged images in training and test, and classify them."""
    competition = get_competition("clocks-or-crocs")
    data = scratch / "input" / competition.slug
    tests = {f"test-{n}": file for n, file in enumerate(files[:: EVERY if quick else 1])}
    _link(tests, data / "test")
    for number, name in enumerate(competition.classes * (TRAINED // 2)):
        (data / "train" / name).mkdir(parents=True, exist_ok=True)
        drawn(1000 + number).save(data / "train" / name / f"{number}.png")
    hurt = {f"hurt-{n}": file for n, file in enumerate(files[::10])}
    _link(hurt, data / "train" / competition.classes[0])
    write_entry(scratch, PATCHES)
    say("training with damaged images")
    trained = podium(scratch, "train", RUN)
    if trained.returncode:
        return [Figure.of_failures("runs on damaged images", [trained.stderr[-1500:]])]
    submitted = pd.read_csv(scratch / "submissions" / f"{RUN}.csv", dtype=str)
    table = pd.read_csv(scratch / "weights" / RUN / "pictures.csv", dtype=str, index_col="id")
    problems = table[table["part"] == "test"]["problem"].fillna("")
    wrong = [
        f"{file.what}: {problems[name]!r}"
        for name, file in tests.items()
        if _is_wrong(file, f"{data / 'test' / name}{file.path.suffix}: ", problems[name])
    ]
    answers = set(submitted["label"]) - set(competition.classes)
    lost = sorted(set(tests) ^ set(submitted["id"]))
    return [
        Figure.of_failures("test rows lost or invented", lost, len(tests)),
        Figure.of_failures("answers that are no class", sorted(map(str, answers))),
        Figure.of_failures("test images wrongly named", wrong),
        Figure("test images that got the class prior", int((problems != "").sum())),
        *([] if quick else [classified(scratch, data / "test")]),
    ]


def _link(files: dict[str, Damaged], folder: Path) -> None:
    """Other names for the same files: ids without ending must differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        (folder / f"{name}{file.path.suffix}").symlink_to(file.path)


def _is_wrong(file: Damaged, prefix: str, problem: str) -> bool:
    if not problem:
        return file.must == "be named"
    return file.must == "be read" or not problem.startswith(prefix)


def classified(project: Path, folder: Path) -> Figure:
    """`podium classify` of the same folder: a row for each file, and exit code 1."""
    done = podium(project, "classify", RUN, str(folder), "--csv", "answers.csv")
    with (project / "answers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    asked = sum(path.is_file() for path in folder.iterdir())  # a folder's pipes are no images
    silent = sum(not any(row.values()) for row in rows)
    bad = abs(asked - len(rows)) + silent + (done.returncode != 1)
    note = done.stderr[-300:] if bad else ""
    return Figure("files that classify does not answer for", bad, "= 0", note)
