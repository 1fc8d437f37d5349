"""What a machine with a GPU and without the internet must be brought, in parts of bounded size."""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np

from benchmarks.measuring import ROOT
from podium import paths
from podium.competitions import get_competition
from podium.files.atomic_write import atomic_write
from podium.models.pretrained import MissingWeights, find_weights, weights_file
from podium.recipes.entries import get_entry
from podium.system import about_this_run

PART_BYTES = 60_000_000
CODE = ("src", "kernels", "benchmarks")
FLOAT16 = Path("weights", "float16")  # of a project
# For Python 3.12, beside JAX with its GPU plugin, NumPy, SciPy, OpenCV, pandas, scikit-learn, h5py,
# Pillow, rich, typer, tqdm, filelock, psutil, PyYAML, threadpoolctl, matplotlib and Jinja2.
WHEELS = (
    "albucore==0.0.24",
    "albumentations==2.0.8",
    "annotated-types==0.8.0",
    "efficientnet==1.1.1",
    "keras==3.15.1",
    "keras-applications==1.0.8",
    "namex==0.1.0",
    "optree==0.20.0",
    "pydantic==2.14.3",
    "pydantic-core==2.50.4",
    "simsimd==6.5.16",
    "stringzilla==3.12.6",  # of which albumentations takes any, and 5.3 has 4 MB
    "typing-inspection==0.4.5",
)
PLATFORMS = ("2_28", "2_27", "2_17")  # of manylinux, beside its older names

THERE = """\
{parts} parts, {size:.0f} MB, in {folder}. Bring them to the machine, and there:

    mkdir -p gpu && for part in part-*.tar; do tar -xf $part -C gpu; done && cd gpu
    python3 -m pip install --no-index --no-deps --no-compile --target site wheels/*.whl
    export PYTHONPATH=$PWD/site:$PWD/src PODIUM_COMMIT={commit}
    python3 -m benchmarks.gpu --minutes 5 --parts e,b --results e-b.json
    python3 -m benchmarks.gpu --minutes 8 --parts a --results a.json
    python3 -m benchmarks.gpu --minutes 7 --parts c,d --results c-d.json"""


def pack(folder: Path, entry: str, fetch: Callable[[Path], None] | None = None) -> str:
    """Write part-1.tar and so on: code, wheels, float16 weights and the images of an entry.

    Args:
        folder: for the parts; it is made anew.
        fetch: puts the wheels into a folder; by default pip downloads them.

    Returns:
        What to do with them.

    Raises:
        ValueError: the folder has something in it, or a file is larger than a part may be.
        MissingData, MissingWeights: the images or the pretrained weights are not here.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} has something in it: name a folder that is new or empty")
    recipe = get_entry(entry).recipe(())
    staged = folder / "staged"
    for name in CODE:
        shutil.copytree(
            ROOT / name, staged / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    (staged / "wheels").mkdir(parents=True)
    (fetch or fetch_wheels)(staged / "wheels")
    file = weights_file(recipe.backbone, recipe.weights)
    if file is not None:
        found = find_weights(file)
        if found is None:
            raise MissingWeights(f"{file} is not on this machine, and {entry} begins with it")
        convert(found, staged / FLOAT16 / file, np.float16, compression="gzip", shuffle=True)
    images = get_competition(recipe.competition).folder()
    shutil.copytree(images, staged / "input" / images.name)
    parts = write_parts(staged, folder)
    shutil.rmtree(staged)
    size = sum(part.stat().st_size for part in parts) / 1e6
    return THERE.format(
        parts=len(parts), size=size, folder=folder, commit=about_this_run()["commit"]
    )


def fetch_wheels(folder: Path) -> None:
    """Download `WHEELS` by pip, for Linux on x86-64."""
    platforms = [f"manylinux_{version}_x86_64" for version in PLATFORMS]
    platforms += ["manylinux2014_x86_64", "manylinux1_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp"]
    command += [word for platform in platforms for word in ("--platform", platform)]
    subprocess.run([*command, "--dest", str(folder), *WHEELS], check=True)


def convert(source: Path, target: Path, kind: type[np.floating], **packed: object) -> None:
    """Copy a file of weights with its numbers in another precision.

    Args:
        packed: how HDF5 stores an array.
    """
    with atomic_write(target) as part, h5py.File(source) as given, h5py.File(part, "w") as made:
        made.attrs.update(given.attrs)

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                new = made.require_group(name)
            else:
                values = item[()]
                if np.issubdtype(item.dtype, np.floating):
                    values = values.astype(kind)
                new = made.create_dataset(name, data=values, **(packed if values.ndim else {}))
            new.attrs.update(item.attrs)

        given.visititems(copy)


def restore_weights() -> list[Path]:
    """Turn float16 weights that were brought here into float32 where they are looked for."""
    restored = []
    for source in sorted((paths.project() / FLOAT16).glob("*.h5")):
        target = paths.project() / "weights" / "pretrained" / source.name
        if not target.exists():
            convert(source, target, np.float32)
            restored.append(target)
    return restored


def write_parts(staged: Path, folder: Path) -> list[Path]:
    """Fill archives with the files, the largest first, each into the first that has room for it."""
    files = [path for path in staged.rglob("*") if path.is_file()]
    rooms: list[list[Path]] = []
    for path in sorted(files, key=_archived, reverse=True):
        if _archived(path) > PART_BYTES - tarfile.RECORDSIZE:
            raise ValueError(
                f"{path.relative_to(staged)} has {path.stat().st_size:,} bytes, and a part at most "
                f"{PART_BYTES:,}: bring it there by other means"
            )
        fits = (room for room in rooms if _size([*room, path]) <= PART_BYTES)
        room = next(fits, None)
        if room is None:
            rooms.append(room := [])
        room.append(path)
    parts = []
    for number, room in enumerate(rooms, start=1):
        parts.append(folder / f"part-{number}.tar")
        with tarfile.open(parts[-1], "w") as archive:
            for path in sorted(room):
                archive.add(path, path.relative_to(staged))
    return parts


def _archived(path: Path) -> int:
    """Bytes in an archive: whole blocks, and one of headers or, for a long name, three."""
    blocks = -(-path.stat().st_size // tarfile.BLOCKSIZE)
    return (blocks + 3) * tarfile.BLOCKSIZE


def _size(files: Iterable[Path]) -> int:
    return sum(map(_archived, files)) + tarfile.RECORDSIZE
