"""Projects small enough for a test: an entry, and a competition of a few drawn images."""

import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from podium.competitions import get_competition
from podium.competitions.sample_drawing import draw_sample

RECIPE = """
competition = "{competition}"
backbone = "resnet-8"
weights = "none"
train_batchnorm = true
image_size = 16
batch_size = 16
folds = 2
views = 2
head = {{ width = 8 }}
stages = [{{ unfreeze = "all", epochs = 1, learning_rate = 0.001 }}]
"""

# The same with a box head, for a competition with boxes; images may be broken.
BOX_RECIPE = (
    RECIPE
    + """
broken_images = "skip"
[box]
width = 8
[augmentation]
rotate = 0.0
"""
)

# One that learns cats, dogs and their boxes. Keras' momentum of 0.99 would lag behind so few steps.
PETS_RECIPE = (
    RECIPE.replace("epochs = 1, learning_rate = 0.001", "epochs = 12, learning_rate = 0.01")
    + """
batchnorm_momentum = 0.8
box = {{ width = 8, taps = ["block2a", "block3a"] }}
"""
)

# The code of an entry's kernel, as each in kernels/ has it.
CODE = """
import sys

from podium.cli import app

if __name__ == "__main__":
    app(["{command}", "{entry}", *sys.argv[1:]], standalone_mode=False)
"""


def make_project(folder: Path, competition: str, recipe: str = RECIPE) -> Path:
    """A project with one entry, `tiny`, and its competition's data; returns the data's folder."""
    write_entry(folder, "tiny", recipe.format(competition=competition))
    data = folder / "input" / get_competition(competition).slug
    DRAW[competition](data)
    return data


def enter_copy(project: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a project in a folder, to do with as a test likes; the current folder."""
    copy = Path(shutil.copytree(project, folder / "project"))
    monkeypatch.chdir(copy)
    return copy


def write_entry(
    project: Path, name: str, recipe: str, command: str = "train", **metadata: Any
) -> Path:
    """An entry that can be pushed, with these changes to its kernel-metadata.json."""
    entry = project / "kernels" / name
    entry.mkdir(parents=True)
    (entry / "recipe.toml").write_text(recipe)
    (entry / "kernel.py").write_text(CODE.format(command=command, entry=name).lstrip())
    notebook = metadata.get("kernel_type") == "notebook"
    about = {
        "id": f"OWNER/podium-{name}",
        "title": f"podium {name}",
        "code_file": "kernel.ipynb" if notebook else "kernel.py",
        "language": "python",
        "kernel_type": "script",
        "is_private": True,
        "enable_internet": False,
        **metadata,
    }
    (entry / "kernel-metadata.json").write_text(json.dumps(about))
    return entry


def draw_image(path: Path, label: int) -> None:
    """Noise around a color of the class; the name decides what it is."""
    random = np.random.default_rng(zlib.crc32(path.name.encode()))
    color = np.random.default_rng(label).integers(40, 216, 3)
    # Coarse noise, so that no two images pass for near-copies of each other.
    noise = cv2.resize(random.normal(0, 60, (6, 7, 3)), (28, 24), interpolation=cv2.INTER_CUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), (color + noise).clip(0, 255).astype(np.uint8))


def break_image(path: Path) -> None:
    """Cut the file off in its middle."""
    path.write_bytes(path.read_bytes()[:200])


def _sample(folder: Path) -> None:
    draw_sample(folder, train=48, test=9, size=(32, 24))


def _cars(folder: Path) -> None:
    names = {f"{label}{number}.jpg": label for label in range(10) for number in range(4)}
    for name, label in names.items():
        draw_image(folder / "train" / "train" / str(label) / name, label)
    tests = [f"{number}.jpg" for number in (907, 13, 250, 8, 77)]
    for name in tests:
        draw_image(folder / "test" / "test_upload" / name, int(name[0]))
    pd.DataFrame({"Id": names.keys(), "Category": names.values()}).to_csv(
        folder / "train.csv", index=False
    )
    pd.DataFrame({"Id": tests, "Category": 0}).to_csv(folder / "sample-submission.csv", index=False)


def _dogs_vs_cats(test: str, sample: str) -> Any:
    def draw(folder: Path) -> None:
        for number in range(12):
            for label, kind in enumerate(("cat", "dog")):
                draw_image(folder / "train" / f"{kind}.{number}.jpg", label)
        for number in range(1, 12):
            draw_image(folder / test / f"{number}.jpg", number % 2)
        rows = pd.DataFrame({"id": range(1, 12), "label": 0.5})
        rows.to_csv(folder / sample, index=False)

    return draw


def _intel(folder: Path) -> None:
    for label, name in enumerate(get_competition("intel").classes):
        for number in range(4):
            draw_image(folder / "seg_train" / "seg_train" / name / f"{name}{number}.jpg", label)
        draw_image(folder / "seg_test" / "seg_test" / name / f"{name}9.jpg", label)
    for number in (3, 10, 24):
        draw_image(folder / "seg_pred" / "seg_pred" / f"{number}.jpg", number % 6)


def _clocks_or_crocs(folder: Path) -> None:
    for label, name in enumerate(("clock", "crocodile")):
        for number in range(10):
            draw_image(folder / "train" / name / f"{name}-{number}.png", label)
    for number in range(6):
        draw_image(folder / "test" / f"test-{number}.png", number % 2)


def _pets(folder: Path) -> None:
    """Cats and dogs with a box each, but for the first of both."""
    annotations = folder / "annotations"
    (annotations / "xmls").mkdir(parents=True)
    trained, tested = [], []
    for label, breed in enumerate(("Bengal", "pug")):
        for number in range(12):
            name = f"{breed}_{number}"
            draw_image(folder / "images" / f"{name}.jpg", label)
            (trained if number < 10 else tested).append(f"{name} {label + 5} {label + 1} 1")
            if 0 < number < 10:
                (annotations / "xmls" / f"{name}.xml").write_text(voc(name, number, label))
    (annotations / "trainval.txt").write_text("\n".join(trained) + "\n")
    (annotations / "test.txt").write_text("\n".join(tested) + "\n")


def draw_more_pets(folder: Path, numbers: range) -> None:
    """More training images with boxes, of each class."""
    with (folder / "annotations" / "trainval.txt").open("a") as listed:
        for label, breed in enumerate(("Bengal", "pug")):
            for number in numbers:
                name = f"{breed}_{number}"
                draw_image(folder / "images" / f"{name}.jpg", label)
                box = voc(name, number % 10, label)
                (folder / "annotations" / "xmls" / f"{name}.xml").write_text(box)
                listed.write(f"{name} {label + 5} {label + 1} 1\n")


def voc(name: str, number: int, label: int) -> str:
    """A head's box in Pascal VOC, of an image by `draw_image`."""
    return (
        f"<annotation><filename>{name}.jpg</filename><size><width>28</width><height>24</height>"
        f"</size><object><name>{('cat', 'dog')[label]}</name><bndbox><xmin>{number}</xmin>"
        f"<ymin>2</ymin><xmax>{number + 9}</xmax><ymax>{number + 12}</ymax></bndbox></object>"
        "</annotation>"
    )


DRAW: dict[str, Any] = {
    "sample": _sample,
    "cars": _cars,
    "dogs-vs-cats": _dogs_vs_cats("test", "sample_submission.csv"),
    "dogs-vs-cats-original": _dogs_vs_cats("test1", "sampleSubmission.csv"),
    "intel": _intel,
    "clocks-or-crocs": _clocks_or_crocs,
    "pets": _pets,
}
