"""What the fuzzing feeds bytes to: Podium's readers of images, recipes and tables.

Each target raises whatever is a finding: an exception that its reader does not announce, a message
that does not name the file, an image of another shape than its size says.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from torture.figures import ROOT

if TYPE_CHECKING:  # imported late: atheris sees only what is imported under its eyes
    from PIL import Image

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
    make = {"reader": _reader, "recipe": _recipe, "submission": _submission}
    return make[name](scratch)


def corpus(name: str) -> list[bytes]:
    """Sound inputs of a target, to be mutated."""
    return {"reader": _images, "recipe": _recipes, "submission": _tables}[name]()


def _reader(scratch: Path) -> Target:
    from podium.files.images import (
        MAX_PIXELS,
        UnreadableImage,
        decode_image,
        decode_sized,
        read_image,
        read_size,
    )

    path = scratch / "fuzzed.jpg"

    def read(data: bytes) -> None:
        with announced(UnreadableImage, "here:"):
            found = decode_sized(data, "here")
            height, width, channels = found.pixels.shape
            size = found.size
            if (width, height, channels) != (size.width, size.height, 3):
                raise Finding(f"{size}, pixels {found.pixels.shape}")
            if found.pixels.dtype != np.uint8 or not 0 < width * height <= MAX_PIXELS:
                raise Finding(f"{found.pixels.dtype}, {width} × {height}")
            smaller = decode_image(data, "here", shorter_side=8)
            if min(smaller.shape[:2]) < min(8, width, height):
                raise Finding(f"{smaller.shape} of {found.pixels.shape}")
        path.write_bytes(data)
        with announced(UnreadableImage, f"{path}:"):
            read_size(path)
        with announced(UnreadableImage, f"{path}:"):
            read_image(path, shorter_side=16)

    return read


def _recipe(scratch: Path) -> Target:
    from podium.recipes.recipe_file import (
        EnsembleRecipe,
        RecipeError,
        load_ensemble,
        load_recipe,
        parse_recipe,
    )

    path = scratch / "recipe.toml"

    def read(data: bytes) -> None:
        text, *words = data.split(CUT)
        path.write_bytes(text)
        with announced(RecipeError, str(path), "--set"):
            words = [word.decode(errors="replace") for word in words[:8]]
            recipe = load_recipe(path, words)
            # As a run's folder stores it, it is read again.
            if parse_recipe(recipe.model_dump(), "here") != recipe:
                raise Finding(f"stored otherwise than read: {recipe}")
        with announced(RecipeError, str(path)):
            if not isinstance(load_ensemble(path), EnsembleRecipe):
                raise Finding("no recipe of an ensemble")

    return read


def _submission(scratch: Path) -> Target:
    import pandas as pd

    from podium.competitions import MissingData, WrongSubmission, get_competition
    from podium.competitions.base import read_csv
    from podium.competitions.pet_boxes import begins_as_list, read_list, read_voc
    from podium.competitions.submission import check_submission_file
    from podium.predictions.score import score_files

    path, voc = scratch / "fuzzed.csv", scratch / "fuzzed.xml"
    ids = pd.Index(["907.jpg", "13.jpg", "8"])
    names = ("cars", "dogs-vs-cats", "pets")

    def read(data: bytes) -> None:
        path.write_bytes(data)
        name, known = names[len(data) % 3], (ids, None)[len(data) % 2]
        with announced(WrongSubmission, str(path)):
            check_submission_file(get_competition(name), path, known)
        with announced(MissingData, str(path)):
            table = read_csv(path, columns=["Id", "Category"])
            if list(table.columns) != ["Id", "Category"] or table.isna().any(axis=None):
                raise Finding(f"an incomplete table: {table}")
        with announced(ValueError, str(path)):
            score_files(path, path)
        begins_as_list(path, ("cat", "dog"))
        with announced(MissingData, str(path)):
            read_list(path, ("cat", "dog"))
        voc.write_bytes(data)
        with announced(MissingData, str(voc)):
            read_voc(scratch, "fuzzed", "cat")

    return read


def _images() -> list[bytes]:
    """Small images of each format and mode."""
    from PIL import Image

    few = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    image = Image.fromarray(few).resize((18, 12), Image.Resampling.BICUBIC)
    deep = Image.fromarray(np.array(image.convert("L")).astype(np.uint16) * 257)
    palette, transparent = image.convert("P", colors=16), image.convert("RGBA")
    transparent.putalpha(128)
    turned = Image.Exif()
    turned[0x0112] = 6
    more = {"save_all": True, "append_images": [image.rotate(180)]}
    return [
        _saved(image, "JPEG"),
        _saved(image, "JPEG", progressive=True, exif=turned),
        _saved(image.convert("CMYK"), "JPEG"),
        _saved(image.convert("L"), "JPEG"),
        _saved(image, "PNG", exif=turned),
        _saved(palette, "PNG", transparency=0),
        _saved(transparent, "PNG"),
        _saved(deep, "PNG"),
        _saved(image, "PNG", **more),
        _saved(image, "WEBP"),
        _saved(transparent, "WEBP", lossless=True),
        _saved(image, "WEBP", **more),
        _saved(palette, "GIF", transparency=0),
        _saved(palette, "GIF", **more),
        _saved(image, "TIFF", exif=turned),
        _saved(image, "TIFF", compression="tiff_lzw"),
        _saved(image, "TIFF", compression="jpeg"),
        _saved(deep, "TIFF", compression="tiff_deflate"),
        _saved(image, "BMP"),
    ]


def _saved(image: "Image.Image", kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _recipes() -> list[bytes]:
    files = [path.read_bytes() for path in sorted(ROOT.glob("kernels/*/recipe.toml"))]
    words = (
        b"image_size=64",
        b"stages.0.epochs=2",
        b'head.taps=["a", "b"]',
        b"box.width=64",
        b"one_cycle.momentum=[0.9, 0.8]",
    )
    short = b'competition = "sample"\nbackbone = "resnet-small"\n'
    return [*files, *(short + CUT + word for word in words), short + CUT + CUT.join(words)]


def _tables() -> list[bytes]:
    texts = (
        "Id,Category\n907.jpg,9\n13.jpg,0\n8,3\n",
        "id,label\r\n907.jpg,0.5\r\n13.jpg,0\r\n8,1e-3\r\n",
        "id,label,xmin,ymin,xmax,ymax\n907.jpg,cat,1,2,3,4\n13.jpg,dog,,,,\n8,cat,1,1,9.5,9\n",
        'Id,Category\n"907.jpg","9"\n"13.jpg",0\n8,3\n',
        "file,x1,y1,x2,y2,class\na.jpg,1,2,3,4,cat\nb.jpg,,,,,dog\n",
        "<annotation><size><width>28</width><height>24</height></size><object><name>cat</name>"
        "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>12</ymax></bndbox></object>"
        "</annotation>",
        '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>',
    )
    return [*(text.encode() for text in texts), texts[0].encode("utf-8-sig")]
