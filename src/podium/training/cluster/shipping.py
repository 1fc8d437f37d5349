"""What goes to a worker and comes back: files of a run, and what tells that its data is the same.

The table and its split are made by the driver alone. Data and pretrained weights are not shipped:
a worker compares those of its node with the table.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from podium import paths, system
from podium.competitions import get_competition
from podium.data.table import digests, read_table
from podium.files.payload import pack
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder
from podium.runs.table import Table

OF_RUN = ("run.json", "pictures.csv", "checked.json", paths.DECLARATION)
LEFT_OUT = {"report", "checkpoints", "tensorboard", "state.npz", "report.html", "gallery.png"}
SAMPLED = 64  # training images whose bytes are compared; of all of them the sizes are
LARGEST = 2_000_000_000  # bytes of data that is shipped: the store in memory must hold it
EXACTLY = ("tensorflow", "jax", "keras", "efficientnet", "openvino")  # they decide the last bits


class OtherData(RunError):
    """The images of a node are not those that the driver made the table of."""


def pack_run(folder: RunFolder) -> bytes:
    """What a worker needs of a run to train or predict a fold: recipe, table and split."""
    return pack(_contents(folder.path, (folder.path / name for name in OF_RUN)))


def pack_fold(folder: RunFolder, fold: int, *beside: str) -> bytes:
    """All files of a fold, and these of its run.

    The state is read first: what is newer than it does no harm.
    """
    place = folder.fold(fold).path
    found = sorted(place.rglob("*"), key=lambda path: (path.name != "state.npz", path))
    return pack(_contents(folder.path, [*found, *(folder.path / name for name in beside)]))


def pack_whole_runs(folders: Iterable[RunFolder]) -> bytes:
    """Runs that another one starts from or takes labels from, each below its name."""
    files = {}
    for folder in folders:
        found = folder.path.rglob("*")
        kept = (path for path in found if LEFT_OUT.isdisjoint(path.relative_to(folder.path).parts))
        files |= _contents(folder.path.parent, kept)
    return pack(files)


def pack_input(folder: Path) -> bytes:
    """The data of a competition, for workers that have none.

    Raises:
        ValueError: it is too much to be kept in memory by each node.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"shipping {folder}: {len(files)} files, {size / 1e6:.0f} MB to each node", flush=True)
    if size > LARGEST:
        raise ValueError(
            f"{folder} has {size / 1e9:.1f} GB, --ray-ship-input is for {LARGEST / 1e9:.0f} GB at "
            "the most: copy it to each node, and set PODIUM_INPUT there"
        )
    return pack(_contents(folder.parent, files))


def _contents(base: Path, files: Iterable[Path]) -> dict[str, bytes]:
    return {
        path.relative_to(base).as_posix(): path.read_bytes()
        for path in files
        if path.is_file() and not path.name.startswith(".part-")
    }


def sample_of_images(run: Run) -> dict[str, str]:
    """Digests of some training images by id, evenly chosen, which a node must have the same of."""
    train = run.table.train
    chosen = np.linspace(0, len(train) - 1, min(SAMPLED, len(train))).astype(int)
    return dict(digests(train["path"].iloc[chosen]))


def open_to_train(folder: RunFolder, sample: dict[str, str], test: bool) -> Run:
    """The run with the images of this node, which is told nothing but the table.

    Args:
        sample: see `sample_of_images`.
        test: the test images are looked at as well.

    Raises:
        OtherData: names, sizes or bytes are others than the driver's.
        MissingData: there are none.
    """
    recipe = folder.read_recipe()
    competition = get_competition(recipe.competition, folder.path)
    table = read_table(competition, folder)
    if folder.digest_of_images(table.train["path"]) != folder.read_checked():
        raise OtherData(f"the training images in {competition.folder()} have other sizes")
    here = digests(table.train.loc[list(sample), "path"])
    if changed := [name for name, digest in sample.items() if here[name] != digest]:
        raise OtherData(f"{competition.folder()} has another training image {changed[0]}")
    if test:
        _check_test(table.readable_test, competition.folder())
    return Run(folder, recipe, competition, table)


def open_to_predict_part(folder: RunFolder, first: int, end: int) -> Run:
    """The run with these of its readable test images, by their position, and no training images.

    Raises:
        OtherData: they are others than the driver's.
    """
    run = Run.open(folder)
    part = run.table.readable_test.iloc[first:end]
    found = run.competition.read_test()["path"].reindex(part.index, fill_value="")
    part = part.assign(path=found)
    _check_test(part, run.competition.folder())
    return replace(run, table=Table(run.table.train.iloc[:0].assign(path=None), part))


def _check_test(test: pd.DataFrame, folder: Path) -> None:
    changed = test.index[digests(test["path"]) != test["digest"]]
    if len(changed):
        raise OtherData(f"{folder} has {len(changed)} other test images, such as {changed[0]}")


def versions() -> dict[str, str]:
    """What must be the same on all nodes for a fold to have the same bytes wherever it is trained.

    Of Python and NumPy the first two numbers, of what computes all of them.
    """
    found = system.about_this_run()["versions"]
    short = {name: ".".join(found[name].split(".")[:2]) for name in ("python", "numpy")}
    return {**short, **{name: found[name] for name in EXACTLY if found.get(name)}}


def other_versions(needed: dict[str, str]) -> str:
    """What this node has in other versions than the driver, in one line; "" where it has not."""
    here = versions()
    names = [name for name in needed if here.get(name) != needed[name]]
    told = ", ".join(f"{name} {here.get(name, 'none')} for {needed[name]}" for name in names)
    return told and f"this node has {told}: install the driver's requirements.lock there"
