"""An entry's kernel-metadata.json, checked before any call: Kaggle ignores unknown keys."""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field
from slugify import slugify

from podium import paths
from podium.competitions import get_competition
from podium.kaggle.machines import MACHINES, RETIRED, SHAPES, Machine
from podium.models.pretrained import weights_file
from podium.recipes.entries import Entry
from podium.recipes.recipe import RUN, Recipe
from podium.recipes.recipe_file import EnsembleRecipe, RecipeError, parse_table
from podium.recipes.tables import RUN_NAME, StrictTable


def _offered(shape: str) -> str:
    """Refuse a machine that Kaggle does not run a kernel on."""
    if shape in RETIRED:
        raise ValueError(f"which Kaggle gives to nobody any more: write {RETIRED[shape]!r}")
    if shape not in SHAPES:
        raise ValueError(f"should be one of {', '.join(filter(None, SHAPES))}")
    return shape


Names = Annotated[list[str], Field(default_factory=list)]
OWNER = "OWNER"  # stands in the repository for the user name of whoever pushes
PRETRAINED = "podium pretrained"  # title of the dataset of all weights that trainings begin with
LONGEST = 50  # characters of a kernel's title
CODE_FILES = {"script": "kernel.py", "notebook": "kernel.ipynb"}


class MetadataError(ValueError):
    """A kernel-metadata.json that Kaggle would misunderstand: says which key and what to write."""


class KernelMetadata(StrictTable):
    """The keys that the Kaggle client reads, without those that Kaggle has given up."""

    DESCRIBED_IN = "docs/kaggle.md"
    id: str
    title: str
    code_file: str
    language: Literal["python"]
    kernel_type: Literal["script", "notebook"]
    is_private: bool
    enable_internet: bool  # always written out: the client takes true where it is missing
    machine_shape: Annotated[str, AfterValidator(_offered)] | None = None  # none: four CPU cores
    dataset_sources: Names
    competition_sources: Names
    kernel_sources: Names
    model_sources: Names
    keywords: Names
    docker_image: str | None = None
    docker_image_pinning_type: str | None = None

    @property
    def owner(self) -> str:
        owner, slash, _ = self.id.partition("/")
        return owner if slash else OWNER

    @property
    def machine(self) -> Machine:
        return SHAPES[self.machine_shape]

    def filled(self, owner: str, name: str) -> Self:
        """The metadata with its owner filled in, for the kernel of this name (a run, or a fold)."""
        keys = ("dataset_sources", "kernel_sources", "model_sources")
        sources = {key: [_fill(each, owner) for each in getattr(self, key)] for key in keys}
        sources["id"] = _fill(kernel_id(self.owner, name), owner)
        return self.model_copy(update={**sources, "title": kernel_title(name)})


def kernel_title(name: str) -> str:
    """The title of the kernel of a run: what Kaggle makes its address from.

    A long name ends in a digest of it, so that two of them do not become one kernel.
    """
    title = f"podium {name}"
    if len(title) <= LONGEST:
        return title
    return f"{title[: LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def kernel_id(owner: str, name: str) -> str:
    """The address of the kernel of this name."""
    return f"{owner}/{slugify(kernel_title(name))}"


def kernel_name(run: str, fold: int | None = None) -> str:
    """The name of the kernel of a run, or of one of its folds; its folder in build/ has it too."""
    return run if fold is None else f"{run}-fold-{fold}"


def dataset_title(run: str) -> str:
    """The title of the dataset that `podium upload` makes of a run, and its address by `slugify`.

    Another one than the kernel's, because both may be found below the same folder.
    """
    return kernel_title(f"run {run}")


def read_metadata(entry: Entry, on: str | None = None) -> KernelMetadata:
    """An entry's metadata, as it stands in the repository.

    Args:
        on: a key of MACHINES, in place of the machine that the metadata names.

    Raises:
        MetadataError: with each key that is wrong, what came and what is allowed.
    """
    path = entry.metadata
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        metadata = parse_table(KernelMetadata, data, source=str(path))
    except FileNotFoundError as error:
        raise MetadataError(
            f"{path} is missing: {entry.name} is meant for this machine. To push it, copy the file "
            "from another entry"
        ) from error
    except RecipeError as error:
        raise MetadataError(str(error)) from error
    except ValueError as error:
        raise MetadataError(f"{path} is not valid JSON: {error}") from error
    # The title makes the address; both follow from the entry's name, and so does collecting.
    for key, came, expected in (
        ("title", metadata.title, kernel_title(entry.name)),
        ("id", metadata.id, kernel_id(metadata.owner, entry.name)),
        ("code_file", metadata.code_file, CODE_FILES[metadata.kernel_type]),
    ):
        if came != expected:
            raise MetadataError(f"{path}: {key}: came {came!r}, should be {expected!r}")
    return metadata.model_copy(update={"machine_shape": MACHINES[on].shape}) if on else metadata


def without_runs(metadata: KernelMetadata) -> KernelMetadata:
    """The metadata without the datasets of `podium upload RUN`, for a kernel that trains or blends.

    These hold what predicting needs, which is too little to blend. Beside the kernel of the run
    they would be taken for another part of it.
    """
    of_runs = slugify(dataset_title("")) + "-"
    kept = [one for one in metadata.dataset_sources if f"/{of_runs}" not in one]
    return metadata.model_copy(update={"dataset_sources": kept})


def to_predict(
    metadata: KernelMetadata, recipe: Recipe | EnsembleRecipe, runs: Iterable[str]
) -> KernelMetadata:
    """The metadata of the kernel that predicts by these runs, which are attached with the images.

    A run comes from its dataset of `podium upload`, if the metadata have that, else from the
    kernels that trained it: those that the metadata name, or were built last.
    """
    owner = metadata.owner
    folds = recipe.fold_numbers if isinstance(recipe, Recipe) else []
    changed = metadata.model_copy(update={"enable_internet": False}, deep=True)
    datasets, kernels = changed.dataset_sources, changed.kernel_sources
    kind, _, source = (get_competition(recipe.competition).kaggle_source or "").partition("/")
    images = changed.competition_sources if kind == "competitions" else datasets
    if source and not is_attached(source, images):  # an ensemble has no images to train on
        images.append(source)
    # The weights that trainings begin with are not needed, and need not be there.
    if (pretrained := f"{owner}/{slugify(PRETRAINED)}") in datasets:
        datasets.remove(pretrained)
    built = paths.project() / "build"
    for run in runs:
        of_run = kernels_of(run, metadata)
        if is_attached(f"{owner}/{slugify(dataset_title(run))}", datasets):
            for kernel in of_run:  # attached twice, it would be taken for two parts of a run
                kernels.remove(kernel)
        elif not of_run:
            parts = [kernel_name(run, fold) for fold in folds if not (built / run).is_dir()]
            names = [name for name in parts if (built / name).is_dir()] or [run]
            kernels += [kernel_id(owner, name) for name in names]
    return changed


def check_sources(entry: Entry, metadata: KernelMetadata, recipe: Recipe) -> None:
    """See that what the recipe needs is attached.

    Raises:
        MetadataError: names the source that is missing and the key it belongs to.
    """
    competition = get_competition(recipe.competition)
    kind, _, source = (competition.kaggle_source or "").partition("/")
    key = "competition_sources" if kind == "competitions" else "dataset_sources"
    is_missing, remedy = not is_attached(source, getattr(metadata, key)), repr(source)
    if not source:
        is_missing = not (competition.draws_itself or metadata.dataset_sources)
        remedy = f"a dataset of yours that holds the folder {competition.slug}"
    if is_missing:
        raise MetadataError(
            f"{entry.metadata}: {key}: the recipe's images are missing: add {remedy}"
        )
    if recipe.started_from:
        if not re.match(RUN_NAME, recipe.started_from):
            raise MetadataError(
                f"{entry.recipe_file}: backbone: {recipe.started_from!r} is a path of this "
                f"machine; name a run whose kernel is attached: {RUN}NAME"
            )
        return
    file = weights_file(recipe.backbone, recipe.weights)
    if file is None and recipe.weights != "none":
        raise MetadataError(
            f"{entry.recipe_file}: weights: {recipe.weights!r} is a path of this machine; "
            "put the file into a Kaggle dataset and name the weights as the package does"
        )
    others = [name for name in metadata.dataset_sources if not is_attached(source, [name])]
    if file and not (metadata.enable_internet or others or metadata.model_sources):
        raise MetadataError(
            f"{entry.metadata}: dataset_sources: the recipe's weights are missing, and the "
            f"internet is off: add a dataset that holds {file}"
        )


def check_machine(
    entry: Entry, metadata: KernelMetadata, recipe: Recipe, hours: float | None
) -> None:
    """See that the machine can run the recipe, and for so long.

    Raises:
        MetadataError: it cannot.
    """
    machine, image = metadata.machine, metadata.docker_image
    if hours and hours > machine.hours:
        raise MetadataError(
            f"{entry.name}: --hours: came {hours:g}, on a {machine.name} at most {machine.hours}"
        )
    if machine.backend == "jax":
        if image and "tpu" not in image:  # see github.com/Kaggle/kaggle-cli/issues/1197
            raise MetadataError(
                f"{entry.metadata}: docker_image: in another image than the TPU's own, Kaggle runs "
                "a kernel without the TPU: leave the key out"
            )
        sizes = [recipe.batch_size, *(stage.batch_size or 0 for stage in recipe.stages)]
        if odd := [size for size in sizes if size % machine.devices]:
            raise MetadataError(
                f"{entry.recipe_file}: batch_size: {machine.devices} cores share each batch: came "
                f"{odd[0]}, should be a multiple of {machine.devices}, at the stages too"
            )


def check_runs(entry: Entry, metadata: KernelMetadata, runs: list[str]) -> None:
    """See that the kernel of each run that an entry reads is attached.

    Raises:
        MetadataError: names the kernel that is missing.
    """
    for run in runs:
        if not kernels_of(run, metadata):
            raise MetadataError(
                f"{entry.metadata}: kernel_sources: the run {run} is missing: add "
                f"{kernel_id(metadata.owner, run)!r}"
            )


def kernels_of(run: str, metadata: KernelMetadata) -> list[str]:
    """Those of the attached kernels that train this run, or folds of it."""
    kernel = kernel_id(metadata.owner, run)
    # A run whose folds were trained apart is in the outputs of several kernels.
    return [
        each
        for each in metadata.kernel_sources
        if is_attached(kernel, [re.sub(r"-fold-\d+", "", each)])
    ]


def is_attached(source: str, references: list[str]) -> bool:
    """Whether a source is among these references, which may name a version."""
    return any(re.sub(r"/\d+$", "", each).lower() == source.lower() for each in references)


def _fill(reference: str, owner: str) -> str:
    return re.sub(rf"^{OWNER}/", f"{owner}/", reference)
