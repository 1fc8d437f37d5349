"""Files from strangers: code, paths, links and bombs in weights, arrays, archives and run folders.

Each is offered at every door that takes such a file, and must be refused in one line that names it,
with no payload run and nothing written elsewhere: `python -m torture.strangers`.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

import podium
from podium.files.archives import unpack
from podium.kaggle.secret_scan import SecretFound, check_no_secrets
from podium.recipes.recipe_file import parse_recipe
from podium.runs.find_run import find_run
from podium.runs.fold_folder import FoldFolder
from podium.runs.merge import merge_run
from podium.runs.run_folder import RunFolder, check_name
from podium.training.preflight import check_recipe
from torture import hostile, no_code
from torture.figures import Figure, main, say

EVIL_NAMES = ("../evil", "..", ".", "/tmp/evil", "a/b", "a/../../b", "", " ", "a\0b", "./a")
FILES = ("run.json", "pictures.csv", "fold-0/best.weights.h5", "fold-0/history.csv",
         "fold-0/validation.csv", "fold-0/cost.json", "fold-0/test.csv", "fold-0")  # fmt: skip


@dataclass
class Tally:
    """What was tried, and what came of it."""

    place: Path
    tried: int = 0
    trouble: list[str] = field(default_factory=list)  # not refused, or not as it should be
    escaped: list[str] = field(default_factory=list)  # ran, or wrote elsewhere

    def __post_init__(self) -> None:
        self.outside = self.place / "outside"
        self.outside.mkdir(parents=True)
        with h5py.File(self.outside / "secret", "w") as file:
            file["kernel"] = np.frombuffer(b"keys", np.uint8)
        self.canary = self.outside / "ran"
        self._before = self._now()

    def refused(self, what: str, attempt: Callable[[], object], named: str) -> None:
        """Try it; the refusal must be a line with this in it, and leave all else as it was."""
        self.tried += 1
        try:
            attempt()
        except (ValueError, OSError) as error:
            said = str(error)
            if "\n" in said or named not in said or len(said) < len(named) + 20:
                self.trouble.append(f"{what}: says {said!r}")
        except Exception as error:
            self.trouble.append(f"{what}: {type(error).__name__}: {error}")
        else:
            self.trouble.append(f"{what}: was taken")
        if self._now() != self._before or list(self.place.rglob("evil*")):
            self.escaped.append(what)
            self._before = self._now()

    def _now(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.outside.iterdir()}


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    tally = Tally(scratch)
    counts = {}
    parts = [of_weights, of_arrays, of_archives, of_run_folders, of_names]
    for part in [*parts, *([] if quick else [of_pretrained])]:
        before = tally.tried
        with chdir(scratch):
            part(tally, scratch)
        counts[part.__name__.removeprefix("of_").replace("_", " ")] = tally.tried - before
        say(f"{part.__name__}: {tally.tried - before} tried")
    found = sum(bool(list(no_code.forbidden_in(line, "planted"))) for line in no_code.PLANTED)
    source = no_code.forbidden_below(Path(podium.__file__).parent)
    return [
        Figure("hostile files and names tried", tally.tried, "≥ 200", note=str(counts)),
        Figure("taken, or refused without a clear line", len(tally.trouble), "= 0",
               note="; ".join(tally.trouble[:10])),
        Figure("payloads that ran, or wrote elsewhere", len(tally.escaped), "= 0",
               note="; ".join(tally.escaped[:10])),
        Figure("ways to run a file's code in src/podium", len(source), "= 0",
               note="; ".join(source)),
        Figure("planted ways that the search missed", len(no_code.PLANTED) - found, "= 0",
               note=f"of {len(no_code.PLANTED)}"),
        *private_content(),
        *([] if quick else built_kernels(scratch)),
    ]  # fmt: skip


def of_weights(tally: Tally, scratch: Path) -> None:
    """Given in a recipe, or lying in a run folder as best weights or as a checkpoint."""
    fold = FoldFolder(scratch / "run" / "fold-0")
    fold.checkpoint(1).parent.mkdir(parents=True)
    for what, ending, make in hostile.weights(tally.canary, tally.outside / "secret"):
        path = scratch / f"stranger{ending}"
        make(path)
        data = {"competition": "cars", "backbone": "resnet-small", "weights": str(path)}
        recipe = parse_recipe(data, "here")
        tally.refused(f"recipe: {what}", lambda r=recipe: check_recipe(r), path.name)
        shutil.copy(path, fold.weights)
        shutil.copy(path, fold.checkpoint(1))
        path.unlink()
        if ending == ".weights.h5":  # what is refused there for its name alone is none here
            tally.refused(f"run: {what}", lambda: fold.read_weights(None), fold.weights.name)
            tally.refused(
                f"checkpoint: {what}", lambda: fold.read_checkpoint(None, 1), "1.weights.h5"
            )


def of_arrays(tally: Tally, scratch: Path) -> None:
    """In the place of a run's state and of what it finds unlike."""
    fold = FoldFolder(scratch / "arrays" / "fold-0")
    fold.path.mkdir(parents=True)
    fold.weights.write_bytes(b"weights")
    for what, make in hostile.arrays(tally.canary):
        for path, read in (
            (fold.path / "state.npz", fold.read_progress),
            (fold.path / "state.npz", fold.read_arrays),
            (fold.path / "unlikeness.npz", fold.read_ood),
        ):
            make(path)
            if what in ("other names", "no arrays") and read == fold.read_arrays:
                continue  # it counts them: none is what was asked for
            tally.refused(f"{path.name}: {what}", read, path.name)


def of_archives(tally: Tally, scratch: Path) -> None:
    for what, ending, make in hostile.archives(tally.outside):
        archive, target = scratch / f"stranger{ending}", scratch / "input" / "cars"
        make(archive)
        tally.refused(what, lambda a=archive, t=target: unpack(a, t), archive.name)
        if target.parent.exists() and list(target.parent.iterdir()):
            tally.escaped.append(f"{what}: left something")
            shutil.rmtree(target.parent)
        archive.unlink()


def of_run_folders(tally: Tally, scratch: Path) -> None:
    """Files and folders of a run that are links, to be merged or used as it is."""
    for name in FILES:
        run = RunFolder(scratch / "linked")
        (run.path / "fold-0").mkdir(parents=True)
        for file in FILES[:-1]:
            (run.path / file).write_text("{}")
        place = run.path / name
        if place.is_dir():
            shutil.rmtree(place)
            place.symlink_to(tally.outside)
        else:
            place.unlink()
            place.symlink_to(tally.outside / "secret")
        into = RunFolder(scratch / "weights" / "mine")
        tally.refused(f"find: {name} a link", lambda r=run: find_run(str(r.path)), place.name)
        tally.refused(f"merge: {name} a link", lambda r=run, i=into: merge_run(r, i), "linked")
        if into.path.exists():
            tally.escaped.append(f"merge: {name} a link: left something")
        shutil.rmtree(run.path)


def of_names(tally: Tally, scratch: Path) -> None:
    """Names of runs that lead elsewhere, in words of a command and in files from elsewhere."""
    for name in EVIL_NAMES:
        tally.refused(f"run {name!r}", lambda n=name: check_name(n), repr(name))
        data = {"competition": "cars", "backbone": f"run:{name}"}
        tally.refused(f"backbone run:{name}", lambda d=data: _start(d), "")
        stage = {"unfreeze": "head", "epochs": 1, "learning_rate": 0.1, "pseudo": {"from": name}}
        data = {"competition": "cars", "backbone": "resnet-small", "stages": [stage]}
        tally.refused(f"pseudo from {name!r}", lambda d=data: parse_recipe(d, "here"), "pseudo")


def _start(data: dict[str, object]) -> None:
    from podium.training.warm_start import resolve_backbone

    resolve_backbone(parse_recipe(data, "here"))


def of_pretrained(tally: Tally, scratch: Path) -> None:
    """Attached to a kernel under the name of a package's file; this one imports TensorFlow."""
    from podium.models.backbones import get_backbone
    from podium.models.pretrained import build_pretrained
    from podium.models.weights_files import weights_file

    name = weights_file("efficientnet-b0", "imagenet")
    attached = scratch / "kaggle" / "input" / "a-dataset"
    attached.mkdir(parents=True)
    (scratch / "kaggle" / "working").mkdir()
    chosen = {"PODIUM_KAGGLE_ROOT": str(scratch / "kaggle"), "PODIUM_PRETRAINED": "/nowhere"}
    before = {key: os.environ.get(key) for key in [*chosen, "HOME"]}
    os.environ.update(chosen, HOME=str(scratch))
    try:
        for what, ending, make in hostile.weights(tally.canary, tally.outside / "secret"):
            if ending == ".h5":
                make(attached / name)
                build = lambda: build_pretrained(get_backbone("efficientnet-b0"), "imagenet")  # noqa: E731
                tally.refused(f"attached: {what}", build, name)
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def private_content() -> list[Figure]:
    """Credentials and paths, planted in each of several files of a kernel."""
    planted = [
        "0f1e2d3c4b5a6978" + "8f7e6d5c4b3a2910", "ghp_" + "a1" * 20, "AKIA" + "A0" * 8,
        "-----BEGIN " + "PRIVATE KEY-----", str(Path.home() / "x"),
        str(Path(podium.__file__).parents[2] / "input"),
    ]  # fmt: skip
    missed = []
    for text in planted:
        for name in ("podium/run.py", "kernels/a/recipe.toml", "kernel.py", "b.py"):
            files = {"clean.py": "x = 1\n", name: f"a = 1\nb = {text!r}\n"}
            try:
                check_no_secrets(files, {})
                missed.append(f"{text[:8]} in {name}")
            except SecretFound:
                continue
    return [Figure("private things planted in a kernel, not found", len(missed), "= 0",
                   note=f"of {4 * len(planted)} {'; '.join(missed)}")]  # fmt: skip


def built_kernels(scratch: Path) -> list[Figure]:
    """All entries are built, each packed file having been looked through."""
    from podium.kaggle.build import build
    from podium.recipes.entries import all_entries

    (scratch / "project").mkdir()
    (scratch / "project" / "kernels").symlink_to(Path(__file__).parents[1] / "kernels")
    refused = []
    with chdir(scratch / "project"):
        entries = [entry.name for entry in all_entries() if entry.metadata.is_file()]
        for name in entries:
            try:
                build(name, owner="somebody-else")
            except SecretFound as error:
                refused.append(str(error))
    return [
        Figure("entries built", len(entries) - len(refused), f"= {len(entries)}",
               note="; ".join(refused))
    ]  # fmt: skip


if __name__ == "__main__":
    main(campaign)
