"""What the fuzzing feeds bytes to: Podium's readers of images, recipes and submissions.

Each target raises whatever is a finding: an exception that its reader does not announce, a message
that does not name the file, an image of another shape than its size says.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from robustness.figures import ROOT

# Podium and Pillow are imported late: atheris sees only what is imported under its eyes.
Target = Callable[[bytes], None]
TARGETS = ("reader", "recipe", "submission")
CUT = b"\0"  # between a recipe and the words after --set


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


def target(name: str, scratch: Path) -> Target:
    """The target of that name; `scratch` is a folder for the file that it reads."""
    return {"reader": _reader, "recipe": _recipe, "submission": _submission}[name](scratch)


def corpus(name: str) -> list[bytes]:
    """Sound inputs of a target, to be mutated."""
    return {"reader": _images, "recipe": _recipes, "submission": _tables}[name]()


def _reader(scratch: Path) -> Target:
    from podium.files.image_io import UnreadableImage, decode_sized, read_image

    path = scratch / "fuzzed.jpg"

    def read(data: bytes) -> None:
        with announced(UnreadableImage, "here:"):
            found = decode_sized(data, "here")
            shape, size = found.pixels.shape, found.size
            if shape != (size.height, size.width, 3) or found.pixels.dtype != np.uint8:
                raise Finding(f"{size}, pixels {shape} of {found.pixels.dtype}")
            smaller = decode_sized(data, "here", shorter_side=8).pixels
            if min(smaller.shape[:2]) < min(8, *shape[:2]):
                raise Finding(f"{smaller.shape} of {shape}")
        path.write_bytes(data)
        with announced(UnreadableImage, f"{path}:"):
            read_image(path, shorter_side=16)

    return read


def _recipe(scratch: Path) -> Target:
    from podium.recipes.recipe_file import RecipeError, load_recipe, parse_recipe

    path = scratch / "recipe.toml"

    def read(data: bytes) -> None:
        text, *words = data.split(CUT)
        path.write_bytes(text)
        with announced(RecipeError, str(path), "--set"):
            recipe = load_recipe(path, [word.decode(errors="replace") for word in words[:8]])
            # As a run's folder stores it, it is read again.
            if parse_recipe(recipe.model_dump(), "here") != recipe:
                raise Finding(f"stored otherwise than read: {recipe}")

    return read


def _submission(scratch: Path) -> Target:
    import pandas as pd

    from podium.competitions import WrongSubmission, get_competition
    from podium.competitions.submission import check_submission_file
    from podium.predictions.score import score_files

    path = scratch / "fuzzed.csv"
    ids = pd.Index(["907.jpg", "13.jpg", "8"])
    names = ("cars", "dogs-vs-cats", "pets")

    def read(data: bytes) -> None:
        path.write_bytes(data)
        name, known = names[len(data) % 3], (ids, None)[len(data) % 2]
        with announced(WrongSubmission, str(path)):
            check_submission_file(get_competition(name), path, known)
        with announced(ValueError, str(path)):
            score_files(path, path)

    return read


def _images() -> list[bytes]:
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


def _recipes() -> list[bytes]:
    files = [path.read_bytes() for path in sorted(ROOT.glob("kernels/*/recipe.toml"))]
    words = (b"image_size=64", b"stages.0.epochs=2", b'head.taps=["a", "b"]', b"box.width=64")
    return [*files, b'competition = "sample"\nbackbone = "resnet-small"\n' + CUT + CUT.join(words)]


def _tables() -> list[bytes]:
    texts = (
        "Id,Category\n907.jpg,9\n13.jpg,0\n8,3\n",
        "id,label\r\n907.jpg,0.5\r\n13.jpg,0\r\n8,1e-3\r\n",
        "id,label,xmin,ymin,xmax,ymax\n907.jpg,cat,1,2,3,4\n13.jpg,dog,,,,\n8,cat,1,1,9.5,9\n",
        'Id,Category\n"907.jpg","9"\n"13.jpg",0\n8,3\n',
    )
    return [*(text.encode() for text in texts), texts[0].encode("utf-8-sig")]
