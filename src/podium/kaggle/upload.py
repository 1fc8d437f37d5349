"""Runs and pretrained weights of this machine, as private datasets that kernels read."""

import io
import json
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from slugify import slugify

from podium.files.atomic_write import write_json
from podium.kaggle.client import KaggleError, connect, explained, user_name
from podium.kaggle.metadata import PRETRAINED, dataset_title, is_attached, read_metadata
from podium.models.pretrained import MissingWeights, find_weights, weights_file
from podium.predictions.portable import copy_to_predict
from podium.recipes.entries import Entry, all_entries, get_entry
from podium.recipes.recipe_file import load_ensemble
from podium.runs.find_run import find_run
from podium.runs.run_folder import RunFolder
from podium.text import single_line

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

LONGEST_WAIT = 1800.0  # seconds until Kaggle has unpacked a dataset
PAGE = 200  # files in one answer


def upload_run(name: str, poll_seconds: float = 5.0) -> str:
    """Upload what predicting needs of a run or a blend, and attach it to the entries that use it.

    These are the run's own entry and the ensembles that blend it. Returns what to tell.

    Raises:
        RunError: there is no such run, or it can predict nothing.
        KaggleError: Kaggle refuses, or cannot be reached.
    """
    run = find_run(name)
    title, own = dataset_title(run.name), run.read_run().get("entry")
    readers = [
        entry
        for entry in all_entries()
        if entry.name == own
        or (entry.is_ensemble and run.name in load_ensemble(entry.recipe_file).runs)
    ]
    with tempfile.TemporaryDirectory() as place:
        copy_to_predict(run, RunFolder(Path(place, run.name)))
        return _upload(Path(place), title, f"run {run.name}", readers, poll_seconds)


def upload_pretrained(entry_name: str, poll_seconds: float = 5.0) -> str:
    """Upload the pretrained weights of an entry, and attach them to it.

    All weights are in one dataset, whose new version has all files of the one before. Returns what
    to tell.

    Raises:
        MissingWeights: they are not on this machine, or the dataset has some that are not.
        KaggleError: Kaggle refuses, or cannot be reached.
    """
    entry = get_entry(entry_name)
    recipe = entry.recipe()
    file = weights_file(recipe.backbone, recipe.weights)
    if file is None:
        raise MissingWeights(f"{entry.name} starts with no pretrained weights: nothing to upload")
    api = connect()
    ref = f"{user_name(api)}/{slugify(PRETRAINED)}"
    names = {file, *(_files(api, ref) or ())}
    found = {name: find_weights(name) for name in sorted(names)}
    if missing := [name for name, path in found.items() if path is None]:
        raise MissingWeights(
            f"{', '.join(missing)}: not on this machine, and a new version of the dataset {ref} "
            "needs all of its files: put them into weights/pretrained/"
        )
    with tempfile.TemporaryDirectory() as place:
        for name, path in found.items():
            shutil.copyfile(path, Path(place, name))
        return _upload(Path(place), PRETRAINED, f"with {file}", [entry], poll_seconds)


def _upload(
    folder: Path, title: str, notes: str, entries: Iterable[Entry], poll_seconds: float
) -> str:
    """Make a dataset of a folder, or a new version of it, and attach it to entries.

    Raises:
        KaggleError: Kaggle refuses, or cannot be reached.
    """
    api, slug = connect(), slugify(title)
    ref = f"{user_name(api)}/{slug}"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    about = {"title": title, "id": ref, "licenses": [{"name": "other"}]}
    write_json(folder / "dataset-metadata.json", about)
    print(f"uploading {size:.1f} MB to {ref}", flush=True)
    action, is_new = f"uploading {ref}", _files(api, ref) is None
    with explained(action), redirect_stdout(io.StringIO()):
        if is_new:
            answer = api.dataset_create_new(str(folder), quiet=True, dir_mode="zip")
        else:
            answer = api.dataset_create_version(str(folder), notes, quiet=True, dir_mode="zip")
    if answer.error or answer.status != "ok":
        raise KaggleError(f"{action}: Kaggle refuses: {single_line(answer.error or 'no reason')}")
    _wait_until_ready(api, ref, poll_seconds)
    attached = [entry for entry in entries if entry.metadata.is_file()]
    for entry in attached:
        source = f"{read_metadata(entry).owner}/{slug}"
        data = json.loads(entry.metadata.read_text(encoding="utf-8"))
        sources = data.setdefault("dataset_sources", [])
        if not is_attached(source, sources):
            sources.append(source)
            write_json(entry.metadata, data)
    names = ", ".join(entry.name for entry in attached)
    told = f"attached to {names}" if names else f"add {ref!r} to the dataset_sources of an entry"
    return f"dataset     {single_line(answer.url)}\n            {told}"


def _files(api: "KaggleApi", ref: str) -> list[str] | None:
    """The names of all files of a dataset; None: there is none, or one may not see it."""
    from requests import HTTPError

    names, token = [], None
    with explained(f"asking for the files of {ref}"):
        while token != "":
            try:
                answer = api.dataset_list_files(ref, page_token=token, page_size=PAGE)
            except HTTPError as error:
                if error.response is not None and error.response.status_code in (403, 404):
                    return None
                raise
            names += [file.name for file in answer.dataset_files or []]
            token = answer.next_page_token
    return names


def _wait_until_ready(api: "KaggleApi", ref: str, poll_seconds: float) -> None:
    """Wait until Kaggle has unpacked it: a kernel that is pushed before would not have it.

    Raises:
        KaggleError: it cannot, or not within LONGEST_WAIT.
    """
    deadline, status = time.monotonic() + LONGEST_WAIT, ""
    while time.monotonic() < deadline and status not in ("failed", "deleted"):
        with explained(f"asking for the dataset {ref}"):
            status = api.dataset_status(ref)
        if status == "ready":
            return
        time.sleep(poll_seconds)
    raise KaggleError(f"Kaggle has not unpacked the dataset {ref}: it is {status}. Upload it again")
