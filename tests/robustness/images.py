"""A thousand damaged images: each is read right or named, memory is bounded, no test row is lost.

Files cut short, with altered bytes, lying headers, other endings, and what is no file at all
(damage.py), read in a process of its own; the largest images that are read; then a run whose
training and test images are damaged.
"""

import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from podium.competitions import get_competition
from podium.data.near_duplicates import fingerprint
from podium.files.image_io import UnreadableImage, decode_sized, read_bytes, read_image
from podium.system import peak_memory
from robustness.damage import LOSSY, Damaged, saved, write_damaged
from robustness.figures import Figure, say
from robustness.projects import RUN, podium, train
from small_competitions import make_project

FILES, QUICK_FILES = 1000, 240
HANGS = 600  # seconds, for all files
LARGE = 100_000_000  # values; beyond it only whether it is read counts
SMALL = 16  # pixels, of the shorter side of an image that is decoded smaller
MEGABYTES = 300  # of the process that reads the damaged files, none of which is large
LARGE_MEGABYTES = 1600  # with the largest images that are read; of a WebP Pillow has four copies
LARGE_SIDE = 9459  # whose square is just within the reader's limit
EVERY = 5  # damaged files, of which the sample tests one; training gets one of ten
# Changes of the recipe, for a run of hardly more than a second.
PATCHES = (
    "backbone=patches",
    "image_size=32",
    "views=1",
    "cached_views=1",
    "broken_images=skip",
    "stages=[{unfreeze='head', solver='kernel'}]",
    "head={width=0, dropout=0, centers=20}",
    "augmentation={mirror=false, crop=1, rotate=0, light=0, color=0}",
)


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    count = QUICK_FILES if quick else FILES
    files = write_damaged(scratch / "damaged", count)
    pixels, problems, peak = read_all(scratch / "damaged")
    bad = []
    for file in files:
        problem, image = (some.get(file.path.name) for some in (problems, pixels))
        if not is_told_right(file, file.path, problem) or not (problem or is_alike(file, image)):
            bad.append(f"{file.what}: {problem}")
    return [
        Figure("damaged images", len(files), f"= {count}"),
        Figure.of_failures("neither read right nor named", bad),
        Figure("of them named", len(problems)),
        Figure("memory of the reading process, MB", peak, f"≤ {MEGABYTES}"),
        *([] if quick else largest(scratch / "large")),
        *damaged_run(files, scratch, quick),
    ]


def read_all(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, str], float]:
    """Read a folder's images in a process of its own.

    Returns:
        The pixels and the problems of the files by their names, and the process' memory in MB.

    Raises:
        TimeoutError: it hangs, or died.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply_async(_read_all, (folder,)).get(HANGS)


def _read_all(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, str], float]:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # C libraries write a line for each broken image
    pixels, problems = {}, {}
    for path in sorted(folder.iterdir()):
        try:
            image = read_image(path)
            fingerprint(image)
            sides = image.shape[:2]
            if image.size < LARGE:
                pixels[path.name] = image
            del image
            read_image(path, SMALL)
            sized = decode_sized(read_bytes(path), str(path), SMALL)
            if (sized.size.height, sized.size.width) != sides:
                problems[path.name] = f"of another size than it says: {sized.size}, {sides}"
        except UnreadableImage as error:
            problems[path.name] = str(error)
        except Exception as error:  # whatever else it is, it is a finding
            problems[path.name] = f"{type(error).__name__} instead of UnreadableImage: {error}"
    return pixels, problems, peak_memory() / 1e6


def is_told_right(file: Damaged, path: Path, problem: str | None) -> bool:
    """Whether a file is named by its path in a line where it must be, and only where it may be."""
    if problem:
        return file.must != "be read" and problem.startswith(f"{path}: ") and "\n" not in problem
    return file.must != "be named"


def is_alike(file: Damaged, image: np.ndarray | None) -> bool:
    """Whether it was read as what it should be, where that is known."""
    if file.must == "be any":
        return True
    if image is None or image.shape != file.truth.shape:
        return False
    return bool(np.abs(image.astype(int) - file.truth.astype(int)).mean() <= LOSSY)


def largest(folder: Path) -> list[Figure]:
    """The largest images that are read, in each mode that takes memory of its own."""
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
    _, problems, peak = read_all(folder)
    bad = [f"{name}: {problem}" for name, problem in problems.items()]
    what = f"largest images ({LARGE_SIDE} × {LARGE_SIDE})"
    return [
        Figure.of_failures(f"{what} that are not read", bad),
        Figure(f"{what}: memory, MB", peak, f"≤ {LARGE_MEGABYTES}"),
    ]


def damaged_run(files: list[Damaged], scratch: Path, quick: bool) -> list[Figure]:
    """Train a competition that has damaged images in training and test, and classify them."""
    data = make_project(scratch, "clocks-or-crocs")
    classes = get_competition("clocks-or-crocs").classes
    files = [file for file in files if not file.path.is_dir()]  # whose images would count
    tests = {f"damaged-{n}": file for n, file in enumerate(files[:: EVERY if quick else 1])}
    hurt = dict(zip(tests, files[::10], strict=False))
    shutil.rmtree(data / "test")
    for folder, some in ((data / "test", tests), (data / "train" / classes[0], hurt)):
        folder.mkdir(exist_ok=True)
        for name, file in some.items():  # without their endings ids must differ
            (folder / f"{name}{file.path.suffix}").symlink_to(file.path)
    say("training with damaged images")
    podium(scratch, *train(PATCHES), check=True)
    submitted = pd.read_csv(scratch / "submissions" / f"{RUN}.csv", dtype=str)
    table = pd.read_csv(scratch / "weights" / RUN / "pictures.csv", dtype=str, index_col="id")
    problems = table[table["part"] == "test"]["problem"].fillna("")
    wrong = [
        f"{file.what}: {problems[name]!r}"
        for name, file in tests.items()
        if not is_told_right(file, data / "test" / f"{name}{file.path.suffix}", problems[name])
    ]
    answers = set(submitted["label"]) - set(classes)
    lost = sorted(set(tests) ^ set(submitted["id"]))
    return [
        Figure.of_failures("test rows lost or invented", lost, len(tests)),
        Figure.of_failures("answers that are no class", sorted(map(str, answers))),
        Figure.of_failures("test images wrongly named", wrong),
        Figure("test images that got the class prior", int((problems != "").sum())),
        *([] if quick else [classified(scratch, data / "test")]),
    ]


def classified(project: Path, folder: Path) -> Figure:
    """`podium classify` of the same folder: a row for each file, and exit code 1."""
    done = podium(project, "classify", RUN, str(folder), "--csv", "answers.csv")
    rows = pd.read_csv(project / "answers.csv", dtype=str, skip_blank_lines=False)
    asked = sum(path.is_file() for path in folder.iterdir())  # a folder's pipes are no images
    silent = int(rows.isna().all(axis=1).sum())
    bad = abs(asked - len(rows)) + silent + (done.returncode != 1)
    return Figure("files that classify does not answer for", bad, "= 0", done.stderr[-300:])
