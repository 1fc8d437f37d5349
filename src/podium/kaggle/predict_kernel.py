"""A kernel that predicts the hidden images of a code competition, by runs that are trained."""

from collections.abc import Iterable

from slugify import slugify

from podium import paths
from podium.competitions import get_competition
from podium.kaggle.build import KernelBuild, write_kernel
from podium.kaggle.client import connect, user_name
from podium.kaggle.following import push, push_and_follow
from podium.kaggle.kernel_start import KernelStart
from podium.kaggle.kernels import POLL_SECONDS, KernelFailed
from podium.kaggle.metadata import (
    OWNER,
    PRETRAINED,
    KernelMetadata,
    check_images,
    dataset_title,
    is_attached,
    kernel_name,
    kernel_title,
    kernels_of,
    read_metadata,
)
from podium.recipes.entries import Entry, get_entry
from podium.recipes.recipe_file import load_ensemble
from podium.runs.run_folder import run_name

HOURS = 9.0  # that most code competitions give a kernel


def predict_name(run: str) -> str:
    """The name of the kernel that predicts by a run."""
    return f"{run}-predict"


def build_predict(
    entry_name: str,
    owner: str | None = None,
    overrides: Iterable[str] = (),
    hours: float | None = None,
    on: str | None = None,
    run: str | None = None,
    each_fold: bool = False,
) -> KernelBuild:
    """Build the kernel that predicts whatever test images it finds, into build/<run>-predict/.

    Nothing is trained there, and neither training images nor the internet are needed. The run is
    taken from a dataset of `podium upload` where the entry's metadata have it, else from the
    kernels that trained it.

    Args:
        owner: as `build` has it.
        overrides: of the entry's recipe, which tell the run.
        hours: the limit of the competition; the machine's, where that is less.
        on: the machine, a key of MACHINES; by default what the metadata say.
        run: the name of the run, if it is not that of the entry and the overrides.
        each_fold: it was pushed with a kernel for each fold; else seen by what lies in build/.

    Raises:
        MetadataError: kernel-metadata.json is refused, or says not where the images are.
    """
    entry, overrides = get_entry(entry_name), list(overrides)
    name = run or run_name(entry.name, overrides)
    runs, competition = _kernels(entry, name, overrides, each_fold)
    metadata = _attached(entry, read_metadata(entry, on), competition, runs)
    limit = min(hours or HOURS, metadata.machine.hours)
    start = KernelStart(run=name, reads=[*runs], hours=limit, minutes=None, predicts=True)
    filled = metadata.filled(owner or OWNER, predict_name(name))
    return write_kernel(entry, predict_name(name), filled, start, overrides)


def push_predict(
    entry_name: str, wait: bool = False, poll_seconds: float = POLL_SECONDS, **options: object
) -> None:
    """Build that kernel with the options of `build_predict`, push it, and with `wait` follow it.

    Raises:
        KernelFailed: it ended with an error.
        KaggleError: Kaggle refuses, or cannot be reached.
    """
    api = connect()
    built = build_predict(entry_name, user_name(api), **options)
    print(built, end="\n\n", flush=True)
    if not wait:
        print(f"pushed: {push(api, built)}")
    else:
        [ended] = push_and_follow(api, [built], 1, poll_seconds)
        if not ended.is_complete:
            raise KernelFailed(f"{ended} (its log: {ended.log_file})")
    print(f"to have it run on the hidden images: podium submit {entry_name} --kernel --wait")


def _kernels(
    entry: Entry, name: str, overrides: list[str], each_fold: bool
) -> tuple[dict[str, list[str]], str]:
    """The runs that predict, each with the names of its kernels; and their competition."""
    if entry.is_ensemble:
        ensemble = load_ensemble(entry.recipe_file)
        return {run: [run] for run in (name, *ensemble.runs)}, ensemble.competition
    recipe = entry.recipe(overrides)
    of_folds = [kernel_name(name, fold) for fold in recipe.fold_numbers]
    built = paths.project() / "build"
    if not (built / name).is_dir():
        each_fold |= any((built / kernel).is_dir() for kernel in of_folds)
    return {name: of_folds if each_fold else [name]}, recipe.competition


def _attached(
    entry: Entry, metadata: KernelMetadata, name: str, runs: dict[str, list[str]]
) -> KernelMetadata:
    """The metadata with images and runs attached, and without the internet."""
    competition, owner = get_competition(name), metadata.owner
    kind, _, source = (competition.kaggle_source or "").partition("/")
    key = "competition_sources" if kind == "competitions" else "dataset_sources"
    pretrained = f"{owner}/{slugify(PRETRAINED)}"  # which need not be there, and is not needed
    datasets = [one for one in metadata.dataset_sources if not is_attached(pretrained, [one])]
    metadata = metadata.model_copy(update={"dataset_sources": datasets})
    sources = getattr(metadata, key)
    if source and not is_attached(source, sources):  # an ensemble has no images to train on
        metadata = metadata.model_copy(update={key: [*sources, source]})
    check_images(entry, metadata, competition)
    kernels = list(metadata.kernel_sources)
    for run, names in runs.items():
        of_run = kernels_of(run, metadata)
        if is_attached(f"{owner}/{slugify(dataset_title(run))}", metadata.dataset_sources):
            # Attached twice, it would be taken for two parts of a run.
            kernels = [one for one in kernels if one not in of_run]
        elif not of_run:
            kernels += [f"{owner}/{slugify(kernel_title(each))}" for each in names]
    return metadata.model_copy(update={"kernel_sources": kernels, "enable_internet": False})
