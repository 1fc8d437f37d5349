"""The tables of a recipe.toml, typed and bounded: heads, augmentation, one-cycle, stages."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_serializer,
    model_validator,
)

MIN_IMAGE_SIZE, MAX_IMAGE_SIZE = 16, 1024
ImageSize = Annotated[int, Field(ge=MIN_IMAGE_SIZE, le=MAX_IMAGE_SIZE)]
Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]

RUN_NAME = r"^\w[\w.-]*$"  # no path: on Kaggle a run is found by its name


class StrictTable(BaseModel):
    """A table of a recipe.toml: unknown keys and wrong types are refused, nothing is converted."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,  # what `podium recipe` says of a key
    )
    DESCRIBED_IN: ClassVar[str] = "docs/recipes.md"
    OLD_NAMES: ClassVar[dict[str, str]] = {}  # of keys, as older recipes and runs have them

    @model_validator(mode="before")
    @classmethod
    def _read_old_names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {cls.OLD_NAMES.get(key, key): value for key, value in data.items()}


class Head(StrictTable):
    """What stands on the backbone: pooling → [Dense relu → BatchNorm → Dropout]… → softmax."""

    OLD_NAMES = {"centres": "centers"}

    taps: list[str] = []
    """Blocks whose ends are pooled side by side; none: the backbone's end."""
    pooling: Literal["average", "max", "both"] = "average"
    """How a map becomes one number a channel."""
    width: Annotated[int, Field(ge=0, le=8192)] = 256
    """Of each Dense layer; 0: there is none."""
    depth: Annotated[int, Field(ge=1, le=8)] = 1
    """Dense layers before the softmax."""
    dropout: BelowOne = 0.25
    """Share of the values that are dropped in training."""
    centers: Annotated[int, Field(ge=0, le=20_000)] = 0
    """Training images that kernel regression compares an image with, at the most; 0: no kernels."""


class BoxHead(StrictTable):
    """What finds the box beside the class head, from maps of features; see models/box_head.py."""

    taps: list[str] = []
    """Blocks whose maps it sees, the finest first; none: the backbone's end."""
    width: Annotated[int, Field(ge=8, le=1024)] = 128
    """Channels."""
    depth: Annotated[int, Field(ge=0, le=8)] = 2
    """3×3 convolutions."""
    dropout: BelowOne = 0.0
    """Of whole channels of the maps."""
    loss_weight: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Beside the loss of the classes."""


class Augmentation(StrictTable):
    """What is done at random to training images, and to no other."""

    OLD_NAMES = {"colour": "color"}

    mirror: bool = True
    """Half of the images, left to right."""
    crop: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Smallest share of the area that is kept."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 10.0
    """Degrees, either way."""
    light: Share = 0.2
    """Brightness and contrast, relative."""
    color: Share = 0.1
    """Hue, saturation and value, relative."""
    blur: Share = 0.0
    """Probability."""
    noise: Share = 0.0
    """Probability."""
    erase: Share = 0.0
    """Probability of a rectangle painted over (arXiv:1708.04896)."""
    shift: Annotated[int, Field(ge=0, le=64)] = 0
    """Pixels, over a reflected border."""
    trivial: bool = False
    """TrivialAugment (arXiv:2103.10158) in place of rotate, light and color: one of 14 changes, as
    strong as chance has it."""
    mixup: Annotated[float, Field(ge=0, le=8)] = 0.0
    """Alpha of the Beta distribution that images and labels are mixed by, 0: not at all
    (arXiv:1710.09412). A head on cached features gets none."""
    cutmix: Annotated[float, Field(ge=0, le=8)] = 0.0
    """The same of pasted rectangles (arXiv:1905.04899). Where both are on, a mixed batch gets one
    of them."""
    mixed: Share = 1.0
    """Of the batches, where one of the two is on."""

    def calm(self) -> Self:
        """Half as strong in the crop, and without what no real image looks like."""
        strong = {"blur": 0.0, "noise": 0.0, "erase": 0.0, "mixup": 0.0, "cutmix": 0.0}
        changes = {**strong, "trivial": False, "crop": (1 + self.crop) / 2}
        return self.model_copy(update=changes)


class OneCycle(StrictTable):
    """Learning rate and momentum over the steps of a stage (arXiv:1708.07120)."""

    warmup: Share = 0.3
    """Share of the steps in which the learning rate rises."""
    start_divisor: Annotated[float, Field(ge=1)] = 25.0
    """The first rate is the peak divided by it."""
    final_divisor: Annotated[float, Field(ge=1)] = 1e4
    """The last rate is the peak divided by it."""
    shape: Literal["cosine", "linear"] = "cosine"
    """Of the rise and the fall."""
    momentum: Annotated[list[BelowOne], Field(max_length=2)] = [0.95, 0.85]
    """At the ends and at the peak; an empty list leaves the optimizer's own."""

    @field_validator("momentum")
    @classmethod
    def _two_momenta_or_none(cls, momentum: list[float]) -> list[float]:
        if len(momentum) == 1:
            raise ValueError("needs two values (at the ends, at the peak), or none: []")
        return momentum


class Pseudo(StrictTable):
    """Test images that another run is sure of, with its labels; see training/pseudo_labels.py."""

    run: Annotated[str, Field(alias="from", pattern=RUN_NAME)]
    """A training run, or a blend."""
    above: Annotated[float, Field(gt=0.5, le=1)] = 0.98
    """Least probability of the most likely class, at which the image joins."""

    @model_serializer(mode="wrap")
    def _as_in_toml(self, dump: Callable[[Self], dict[str, Any]]) -> dict[str, Any]:
        """With "from" for `run`, which Python has another use for: a dump is read again."""
        return {"from" if key == "run" else key: value for key, value in dump(self).items()}


class Stage(StrictTable):
    """A part of the training: what learns, for how long, how fast, on what size of image."""

    unfreeze: Literal["head", "half", "all"] | Annotated[int, Field(ge=1)] = "all"
    """What learns; a number: so many last blocks."""
    solver: Literal["gradient", "logistic", "kernel"] = "gradient"
    """"logistic" gives a head without Dense layers the weights of logistic regression on cached
    features, and "kernel" solves one of kernels; "gradient" trains epoch by epoch."""
    epochs: Annotated[int, Field(ge=1, le=1000)]
    """Passes over the training images."""
    calm_epochs: Annotated[int, Field(ge=0)] = 0
    """The last ones, with half of the crop, and without blur, noise, erase, trivial and mixing."""
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    """At the peak of the cycle."""
    image_size: ImageSize | None = None
    """The recipe's, unless given."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """The recipe's, unless given."""
    pseudo: Pseudo | None = None

    @model_validator(mode="before")
    @classmethod
    def _solved_has_no_epochs(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("solver") in ("logistic", "kernel"):
            data = {"unfreeze": "head", "epochs": 1, "learning_rate": 1.0, **data}
            if data["unfreeze"] != "head" or data["epochs"] != 1:
                raise ValueError(f'solver = "{data["solver"]}" is for a head, and takes no epochs')
        return data
