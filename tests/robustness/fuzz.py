"""Fuzzing: bytes that nobody wrote, to the readers of images, recipes and submissions.

The campaign runs atheris over all three for twenty minutes; its sample mutates by a seeded dice
instead, without atheris. `python -m robustness.fuzz reader` fuzzes one of them, and
`python -m robustness.fuzz reader FILE` feeds it a file that was found.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from robustness.figures import ROOT, Figure, say

SECONDS = 20 * 60  # for each target
QUICK = 300  # executions of each target
LONGEST = 10  # seconds of a core for one execution: a machine that others use may take more
MEGABYTES = 1800  # of the whole process: the largest images, and atheris
SEED = 8
FOUND = ROOT / "build" / "fuzz"  # inputs that are findings
TOKENS = (b"\xff\xd8", b"\xff\xd9", b"IHDR", b"IDAT", b"\xff" * 4, b"II*\x00", b"VP8X", b"nan",
          b"1e999", b"[[", b'"""', b'"', b";", b"\xe9", b"99999999999999999999", b"\0")  # fmt: skip
CUT = b"\0"  # between a recipe and the words after --set


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    if quick:
        return [mutations(name, scratch) for name in TARGETS]
    with ThreadPoolExecutor() as pool:  # an hour in twenty minutes
        parts = pool.map(lambda name: fuzzed(name, scratch / f"{name}.log"), TARGETS)
        return [figure for part in parts for figure in part]


def mutations(name: str, scratch: Path) -> Figure:
    """So many seeded mutations of the corpus."""
    feed, corpus = TARGETS[name]
    seeds, dice, found = corpus(), random.Random(SEED), []
    for number in range(QUICK):
        data = seeds[number] if number < len(seeds) else mutated(seeds, dice)
        try:
            feed(data, scratch)
        except Exception as error:  # whatever comes is what is looked for
            found.append(f"{type(error).__name__}: {error} from {data[:400]!r}")
    return Figure.of_failures(f"{name}: findings in {QUICK} mutations", found)


def mutated(seeds: list[bytes], dice: random.Random) -> bytes:
    """One of the seeds, changed in one to six places."""
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(data) + 1)
        end = at + dice.randint(0, 40)
        other = dice.choice(seeds)[at:end]
        data[at:end] = dice.choice([dice.randbytes(end - at), dice.choice(TOKENS), b"", other])
    return bytes(data)


def fuzzed(name: str, log: Path) -> list[Figure]:
    """Fuzz a target in a process of its own; a finding ends it."""
    say(f"fuzzing the {name} for {SECONDS / 60:g} minutes")
    command = [sys.executable, "-m", "robustness.fuzz", name, "--seconds", str(SECONDS)]
    with log.open("wb") as file:  # C libraries write a line for each broken image
        code = subprocess.run(command, stdout=file, stderr=file).returncode
    text = log.read_text(errors="replace")
    runs = re.findall(r"stat::number_of_executed_units: *(\d+)", text)
    peak = re.findall(r"stat::peak_rss_mb: *(\d+)", text)
    note = f"see {FOUND}: {text[-1500:]}" if code else ""
    return [
        Figure(f"{name}: findings by atheris", int(code != 0), "= 0", note),
        Figure(f"{name}: executions", int(runs[-1]) if runs else 0, "≥ 1000"),
        Figure(f"{name}: largest memory, MB", int(peak[-1]) if peak else 0, f"≤ {MEGABYTES}"),
    ]


def fuzz(name: str, seconds: int, files: list[str], scratch: Path) -> None:
    """Let atheris mutate a target's input until the time is over, or feed it files; ends Python."""
    import atheris

    feed, corpus = TARGETS[name]
    with atheris.instrument_imports(include=["podium", "PIL", "tomllib", "csv", "pydantic"]):
        from PIL import Image

        Image.init()  # the modules of all formats
        seeds = corpus()
        feed(seeds[0], scratch)  # imports what it calls

    def execute(data: bytes) -> None:
        began = time.process_time()
        feed(bytes(data), scratch)
        if (took := time.process_time() - began) > LONGEST:
            raise Finding(f"it took {took:.0f} s")

    (scratch / "corpus").mkdir()
    for number, data in enumerate(seeds):
        (scratch / "corpus" / str(number)).write_bytes(data)
    escaped = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS)
    (scratch / "tokens").write_text("".join(f'"{token}"\n' for token in escaped))
    FOUND.mkdir(parents=True, exist_ok=True)
    options = {
        "max_total_time": seconds,
        "timeout": 300,
        "rss_limit_mb": MEGABYTES,
        "max_len": 1 << 14,
        "seed": SEED,
        "dict": scratch / "tokens",
        "artifact_prefix": f"{FOUND}/{name}-",
        "print_final_stats": 1,
    }
    arguments = [f"-{option}={value}" for option, value in options.items()]
    inputs = files or [str(scratch / "corpus")]
    atheris.Setup([sys.argv[0], *arguments, *inputs], execute)
    atheris.Fuzz()


class Finding(Exception):
    """A reader that does otherwise than it says."""


@contextmanager
def announced(kind: type[Exception], *names: str) -> Iterator[None]:
    """Let errors of this kind pass that are one line and begin with one of these names."""
    try:
        yield
    except kind as error:
        text = str(error)
        if "\n" in text or not text.startswith(names):
            raise Finding(f"expected one line that begins with {names}, came {text!r}") from error


# Podium and Pillow are imported late: atheris sees only what is imported under its eyes.


def read_as_image(data: bytes, scratch: Path) -> None:
    from podium.files.image_io import UnreadableImage, decode_sized, read_image

    with announced(UnreadableImage, "here:"):
        found = decode_sized(data, "here")
        shape, size = found.pixels.shape, found.size
        if shape != (size.height, size.width, 3) or found.pixels.dtype != np.uint8:
            raise Finding(f"{size}, pixels {shape} of {found.pixels.dtype}")
        smaller = decode_sized(data, "here", shorter_side=8).pixels
        if min(smaller.shape[:2]) < min(8, *shape[:2]):
            raise Finding(f"{smaller.shape} of {shape}")
    path = scratch / "fuzzed.jpg"
    path.write_bytes(data)
    with announced(UnreadableImage, f"{path}:"):
        read_image(path, shorter_side=16)


def read_as_recipe(data: bytes, scratch: Path) -> None:
    from podium.recipes.recipe_file import RecipeError, load_recipe, parse_recipe

    path = scratch / "recipe.toml"
    text, *words = data.split(CUT)
    path.write_bytes(text)
    with announced(RecipeError, str(path), "--set"):
        recipe = load_recipe(path, [word.decode(errors="replace") for word in words[:8]])
        # As a run's folder stores it, it is read again.
        if parse_recipe(recipe.model_dump(), "here") != recipe:
            raise Finding(f"stored otherwise than read: {recipe}")


def read_as_submission(data: bytes, scratch: Path) -> None:
    from podium.competitions import WrongSubmission, get_competition
    from podium.competitions.submission import check_submission_file
    from podium.predictions.score import score_files

    path = scratch / "fuzzed.csv"
    path.write_bytes(data)
    name = ("cars", "dogs-vs-cats", "pets")[len(data) % 3]
    known = (pd.Index(["907.jpg", "13.jpg", "8"]), None)[len(data) % 2]
    with announced(WrongSubmission, str(path)):
        check_submission_file(get_competition(name), path, known)
    with announced(ValueError, str(path)):
        score_files(path, path)


def images() -> list[bytes]:
    """Small images of each format and of some modes."""
    from PIL import Image

    from robustness.damage import drawn, odd, saved

    image = drawn(0)
    deep = Image.fromarray(np.array(image.convert("L")).astype(np.uint16) * 257)
    more = [saved(image, "TIFF", compression=name) for name in ("tiff_lzw", "jpeg")]
    more += [saved(deep, kind) for kind in ("PNG", "TIFF")]
    more += [saved(image.convert("P"), kind, transparency=0) for kind in ("PNG", "GIF")]
    more += [saved(image, "JPEG", progressive=True), saved(image, "BMP")]
    return [*(data for _, data in odd(image)), *more]


def recipes() -> list[bytes]:
    files = [path.read_bytes() for path in sorted(ROOT.glob("kernels/*/recipe.toml"))]
    words = (b"image_size=64", b"stages.0.epochs=2", b'head.taps=["a", "b"]', b"box.width=64")
    return [*files, b'competition = "sample"\nbackbone = "resnet-small"\n' + CUT + CUT.join(words)]


def tables() -> list[bytes]:
    texts = (
        "Id,Category\n907.jpg,9\n13.jpg,0\n8,3\n",
        "id,label\r\n907.jpg,0.5\r\n13.jpg,0\r\n8,1e-3\r\n",
        "id,label,xmin,ymin,xmax,ymax\n907.jpg,cat,1,2,3,4\n13.jpg,dog,,,,\n8,cat,1,1,9.5,9\n",
        'Id,Category\n"907.jpg","9"\n"13.jpg",0\n8,3\n',
    )
    return [*(text.encode() for text in texts), texts[0].encode("utf-8-sig")]


# What is fed with bytes, given a folder for a file; and sound ones to be mutated.
TARGETS: dict[str, tuple[Callable[[bytes, Path], None], Callable[[], list[bytes]]]] = {
    "reader": (read_as_image, images),
    "recipe": (read_as_recipe, recipes),
    "submission": (read_as_submission, tables),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=TARGETS)
    parser.add_argument("files", nargs="*", help="inputs to feed instead")
    parser.add_argument("--seconds", type=int, default=60)
    words = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="podium-fuzz-"))  # libFuzzer ends without tidying
    fuzz(words.name, words.seconds, words.files, scratch)


if __name__ == "__main__":
    main()
