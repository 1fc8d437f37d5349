"""An entry's kernel-metadata.json, checked before any call: Kaggle ignores unknown keys."""

import difflib
import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from podium.competitions import get_competition
from podium.models.pretrained import weights_file
from podium.recipes.entries import Entry
from podium.recipes.recipe import RUN, Recipe
from podium.recipes.tables import RUN_NAME

OWNER = "OWNER"  # stands in the repository for the user name of whoever pushes
SHORTEST, LONGEST = 5, 50  # characters of a kernel's title
CODE_FILES = {"script": "kernel.py", "notebook": "kernel.ipynb"}
RETIRED = {
    "NvidiaTeslaP100": "NvidiaTeslaT4",
    "TpuV38": "NvidiaTeslaT4",
    "TpuVmV38": "NvidiaTeslaT4",
}
SESSIONS = {"NvidiaTeslaT4": 2, None: 5}  # kernels that an account may run at once, by machine

_PART = r"[A-Za-z0-9][A-Za-z0-9_-]*"
Reference = Annotated[str, Field(pattern=rf"^{_PART}/{_PART}(/\d+)?$")]  # user/slug, or /version
ModelReference = Annotated[str, Field(pattern=rf"^({_PART}/){{4}}\d+$")]


class MetadataError(ValueError):
    """A kernel-metadata.json that Kaggle would misunderstand: says which key and what to write."""


class KernelMetadata(BaseModel):
    """The keys that the Kaggle client reads, without those that Kaggle has given up."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: Annotated[str, Field(pattern=rf"^{_PART}/{_PART}$")]
    title: Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST)]
    code_file: Literal["kernel.py", "kernel.ipynb"]
    language: Literal["python"]
    kernel_type: Literal["script", "notebook"]
    is_private: bool
    enable_internet: bool  # always written out: the client takes true where it is missing
    machine_shape: Literal["NvidiaTeslaT4"] | None = None  # two T4s, or four CPU cores
    dataset_sources: list[Reference] = []
    competition_sources: list[Annotated[str, Field(pattern=rf"^{_PART}$")]] = []
    kernel_sources: list[Reference] = []
    model_sources: list[ModelReference] = []
    keywords: list[str] = []
    docker_image: str | None = None
    docker_image_pinning_type: Literal["original", "latest"] | None = None

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    @property
    def slug(self) -> str:
        return self.id.split("/")[1]

    @property
    def sessions(self) -> int:
        """How many kernels like this one an account may run at once."""
        return SESSIONS[self.machine_shape]

    def of(self, owner: str, name: str) -> "KernelMetadata":
        """The metadata with its owner filled in, for the kernel of this name (a run, or a fold)."""
        filled = {
            key: [_fill(source, owner) for source in getattr(self, key)]
            for key in ("dataset_sources", "kernel_sources", "model_sources")
        }
        title = kernel_title(name)
        own = {"id": f"{_fill(self.id, owner).split('/')[0]}/{slug_of(title)}", "title": title}
        return self.model_copy(update={**filled, **own})


def kernel_title(name: str) -> str:
    """The title of the kernel of a run: what Kaggle makes its address from.

    A long name ends in a digest of it, so that two of them do not become one kernel.
    """
    title = f"podium {name}"
    if len(title) <= LONGEST:
        return title
    return f"{title[: LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def kernel_name(run: str, fold: int | None = None) -> str:
    """The name of the kernel of a run, or of one of its folds; its folder in build/ has it too."""
    return run if fold is None else f"{run}-fold-{fold}"


def slug_of(title: str) -> str:
    """The address that Kaggle makes from a title."""
    from slugify import slugify  # the same that the client uses

    return slugify(title)


def read_metadata(entry: Entry) -> KernelMetadata:
    """An entry's metadata, as it stands in the repository.

    Raises:
        MetadataError: with each key that is wrong, what came and what is allowed.
    """
    path = entry.metadata
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MetadataError(
            f"{path} is missing: {entry.name} is meant for this machine. To push it, copy the file "
            "from another entry"
        ) from error
    except ValueError as error:
        raise MetadataError(f"{path} is not valid JSON: {error}") from error
    try:
        metadata = KernelMetadata.model_validate(data)
    except ValidationError as error:
        clauses = [_explain(details) for details in error.errors()]
        raise MetadataError(f"{path}: " + "; ".join(dict.fromkeys(clauses))) from error
    _check_names(path, entry, metadata)
    return metadata


def check_owner(metadata: KernelMetadata, user: str) -> None:
    """Refuse to push into somebody else's account, which Kaggle would refuse less clearly.

    Raises:
        MetadataError: the id has another owner than the credentials.
    """
    if metadata.owner.lower() != user.lower():
        raise MetadataError(
            f"id: the kernel belongs to {metadata.owner}, the Kaggle credentials are {user}'s; "
            f"write {OWNER}/{metadata.slug}"
        )


def check_sources(entry: Entry, metadata: KernelMetadata, recipe: Recipe) -> None:
    """See that what the recipe needs is attached.

    Raises:
        MetadataError: names the source that is missing and the key it belongs to.
    """
    competition = get_competition(recipe.competition)
    kind, _, source = (competition.kaggle_source or "").partition("/")
    key = "competition_sources" if kind == "competitions" else "dataset_sources"
    if source and not _attached(source, getattr(metadata, key)):
        raise MetadataError(
            f"{entry.metadata}: {key}: the recipe's images are missing: add {source!r}"
        )
    if not (source or competition.draws_itself or metadata.dataset_sources):
        raise MetadataError(
            f"{entry.metadata}: dataset_sources: the recipe's images are missing: add a dataset "
            f"of yours that holds the folder {competition.slug}"
        )
    if recipe.started_from:
        _check_start(entry, recipe.started_from)
        return
    file = weights_file(recipe.backbone, recipe.weights)
    if file is None and recipe.weights != "none":
        raise MetadataError(
            f"{entry.recipe_file}: weights: {recipe.weights!r} is a path of this machine; "
            "put the file into a Kaggle dataset and name the weights as the package does"
        )
    others = [name for name in metadata.dataset_sources if not _attached(source, [name])]
    if file and not (metadata.enable_internet or others or metadata.model_sources):
        raise MetadataError(
            f"{entry.metadata}: dataset_sources: the recipe's weights are missing, and the "
            f"internet is off: add a dataset that holds {file}"
        )


def _check_start(entry: Entry, run: str) -> None:
    """See that the run that a training starts from is named as it is found on Kaggle."""
    if not re.match(RUN_NAME, run):
        raise MetadataError(
            f"{entry.recipe_file}: backbone: {run!r} is a path of this machine; name a run whose "
            f"kernel is attached: {RUN}NAME"
        )


def check_runs(entry: Entry, metadata: KernelMetadata, runs: list[str]) -> None:
    """See that the kernel of each run that an entry reads is attached.

    Raises:
        MetadataError: names the kernel that is missing.
    """
    for run in runs:
        kernel = f"{metadata.owner}/{slug_of(kernel_title(run))}"
        # A run whose folds were trained apart is in the outputs of several kernels.
        if not any(
            _attached(kernel, [re.sub(r"-fold-\d+", "", name)]) for name in metadata.kernel_sources
        ):
            raise MetadataError(
                f"{entry.metadata}: kernel_sources: the run {run} is missing: add {kernel!r}"
            )


def _attached(source: str, references: list[str]) -> bool:
    """Whether a source is among these references, which may name a version."""
    return any(
        re.sub(r"/\d+$", "", reference).lower() == source.lower() for reference in references
    )


def _check_names(path: Path, entry: Entry, metadata: KernelMetadata) -> None:
    """The title makes the address; both follow from the entry's name, and so does collecting."""
    title = kernel_title(entry.name)
    if metadata.title != title:
        raise MetadataError(f"{path}: title: came {metadata.title!r}, should be {title!r}")
    if metadata.slug != slug_of(metadata.title):
        raise MetadataError(
            f"{path}: id: came {metadata.id!r}, but Kaggle makes the address "
            f"{slug_of(metadata.title)!r} from the title; write {OWNER}/{slug_of(metadata.title)}"
        )
    code_file = CODE_FILES[metadata.kernel_type]
    if metadata.code_file != code_file:
        raise MetadataError(
            f"{path}: code_file: came {metadata.code_file!r}, a {metadata.kernel_type} is built "
            f"as {code_file!r}"
        )


def _fill(reference: str, owner: str) -> str:
    return re.sub(rf"^{OWNER}/", f"{owner}/", reference)


def _explain(details: Any) -> str:
    """One clause for one of pydantic's errors."""
    key, came = ".".join(str(part) for part in details["loc"]), details["input"]
    if key == "machine_shape" and came in RETIRED:
        return f"machine_shape: Kaggle has retired {came}; write {RETIRED[came]}"
    if key == "machine_shape" and str(came).startswith("Tpu"):
        return f"machine_shape: Podium does not compute on {came}; write NvidiaTeslaT4"
    if key in ("enable_gpu", "enable_tpu"):
        return f"{key}: Kaggle has given it up; write machine_shape = NvidiaTeslaT4, or nothing"
    if details["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, KernelMetadata.model_fields, n=1)
        known = ", ".join(KernelMetadata.model_fields)
        return f"{key}: unknown key; " + (
            f"did you mean {close[0]}?" if close else f"there are: {known}"
        )
    if details["type"] == "missing":
        return f"{key}: is missing" + (
            ": write false, or true, which is Kaggle's choice where it is missing"
            if key == "enable_internet"
            else ""
        )
    if details["type"] == "string_pattern_mismatch":
        form = "user/slug" if key.startswith(("id", "dataset", "kernel")) else "as Kaggle names it"
        return f"{key}: came {came!r}, should be {form}"
    message = details["msg"].replace("Input should be ", "should be ")
    return f"{key}: came {came!r}, {message[0].lower()}{message[1:]}"
