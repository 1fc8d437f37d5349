"""`Recipe`: every choice of a run, typed and bounded. A run is its recipe and its seed."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from podium.recipes import tables
from podium.recipes.tables import BelowOne, ImageSize, Share, Stage, StrictTable

DEFAULT_IMAGE_SIZE = 224
RUN = "run:"  # before the name of a run that the training starts from
LARGER = 1.25  # the last default stage trains on images this much larger
CACHED_DETAIL = 1.25  # side of cached images, relative to the largest that a network sees


class Recipe(StrictTable):
    """All choices of a run. What a recipe.toml leaves out has the value given here."""

    OLD_NAMES = {"broken_pictures": "broken_images"}  # noqa: RUF012

    competition: str
    """Name of a competition, see README."""
    backbone: str
    """A network by its name, or "run:NAME": that of a run, as it was trained there."""
    weights: str = "imagenet"
    """"imagenet", "noisy-student", "none", the path of an .h5 file, or "run:NAME": the weights of
    that run's backbone. They say nothing where `backbone` names a run."""
    image_size: ImageSize = DEFAULT_IMAGE_SIZE
    """Side of the square image, pixels."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 32
    """Images in a batch, on all devices together."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the split, the batches, the augmentation, and the weights of new layers."""

    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Parts of the training images, each scored by a network that has not seen it."""
    shares: Annotated[list[Share], Field(default_factory=list, max_length=3)]
    """Training, validation and, if wanted, held-out share; used in place of folds."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Training images at the most."""
    broken_images: Literal["stop", "skip"] = "stop"
    """What an image that cannot be read does to a run."""
    memory_share: Share = 0.3
    """Of the free memory, for decoded images."""
    copies: bool = False
    """Shrunk copies of large images, kept in weights/.copies for all runs."""

    head: tables.Head = tables.Head()
    box: tables.BoxHead | None = None
    augmentation: tables.Augmentation = tables.Augmentation()
    stages: Annotated[list[Stage], Field(min_length=1)]
    cached_views: Annotated[int, Field(ge=0, le=64)] = 4
    """Augmented views of each image whose features a head stage trains on; 0: nothing is cached."""
    cached_gb: Annotated[float, Field(ge=0)] = 1.0
    """GB of cached features in memory; more go to disk."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """What takes the steps."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Decoupled, not of biases and norms."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning rate of each block, relative to the one above it (arXiv:2106.08254, appendix)."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Momentum of a moving average of the weights, which validates and predicts in their place."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of all gradients together."""
    clip_value: Annotated[float, Field(gt=0)] | None = None
    """Largest value of a gradient; not beside clip_norm."""
    accumulate: Annotated[int, Field(ge=1, le=256)] = 1
    """So many batches make one step, as if batch_size were so many times as large; the cycle goes
    on with each batch, and what a stage's last batches leave over counts nothing."""
    label_smoothing: BelowOne = 0.0
    """Share of each target that is spread over all classes."""
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    """"focal" thinks less of what is right already (arXiv:1708.02002)."""
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    """How much less."""
    class_weight: Literal["none", "balanced"] = "none"
    """"balanced": images of a rare class count more, as scikit-learn has it: images / (classes ·
    images of the class). Validation stays as it is."""
    sampling: Literal["all", "balanced"] = "all"
    """"balanced": each epoch draws as many images of each class; not beside class_weight."""
    one_cycle: tables.OneCycle = tables.OneCycle()
    patience: Annotated[int, Field(ge=1)] | None = None
    """Epochs of a stage without a better validation loss before the stage ends."""
    keep: Literal["best", "last"] = "last"
    """Which epoch's weights predict. "best" chooses on the images that the fold then scores, and so
    makes the score too good: by some points on a hundred images."""
    checkpoints: Annotated[int, Field(ge=0, le=100)] = 0
    """So many last epochs of the last stage leave their weights for `podium soup`."""
    train_batchnorm: bool = False
    """Whether the backbone's BatchNorm learns; its statistics suffer from small batches."""
    batchnorm_momentum: BelowOne | None = None
    """Of the backbone's statistics; the network's own, unless given."""
    drop_connect: BelowOne | None = None
    """Share of residual branches that are dropped in training, the last block's; EfficientNet and
    EfficientNetV2 only, whose own is 0.2."""
    mixed_precision: bool = True
    """Where the device computes faster with it."""
    threads: Annotated[int, Field(ge=1, le=256)] = 4
    """That share an operation on the CPU. They also say into how many parts a sum is cut, and so
    its last bits: the number of cores does not."""
    deterministic: bool = False
    """Only kernels of the GPU that give the same bits each time, which are slower. On a CPU all
    do."""
    tensorboard: bool = False
    """Whether each fold writes a log for TensorBoard."""

    views: Annotated[int, Field(ge=1, le=10)] = 4
    """Views of each image when predicting; those that gain out of fold are averaged."""
    time_budget: Annotated[float, Field(gt=0)] | None = None
    """Minutes that the epochs are fitted to, prediction included."""

    @model_validator(mode="before")
    @classmethod
    def _stages_unless_given(cls, data: Any) -> Any:
        if isinstance(data, dict) and "stages" not in data:
            data = {**data, "stages": default_stages(data.get("image_size", DEFAULT_IMAGE_SIZE))}
        return data

    @field_validator("backbone", "weights")
    @classmethod
    def _run_by_its_name(cls, text: str) -> str:
        """run:weights/NAME is run:NAME: the same text, wherever the folds are trained."""
        if text == RUN:
            raise ValueError(f"needs the name of a run: {RUN}NAME")
        return re.sub(rf"^{RUN}(?:\./)?weights/([^/]+)/?$", rf"{RUN}\1", text)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if odd := [*self._odd_choices(), *self._odd_solvers(), *self._odd_box()]:
            raise ValueError("; ".join(odd))
        return self

    def _odd_choices(self) -> Iterator[str]:
        both = self.backbone, self.weights
        if all(text.startswith(RUN) for text in both) and len(set(both)) > 1:
            names = f"{self.backbone!r} and {self.weights!r}"
            yield f"backbone and weights name two runs, {names}: leave weights out"
        if self.shares and (len(self.shares) < 2 or abs(sum(self.shares) - 1) > 1e-6):
            yield f"shares must be two or three numbers that sum to 1, came {self.shares}"
        if self.shares and min(self.shares) == 0:
            yield f"shares must be above 0, came {self.shares}"
        if self.clip_norm is not None and self.clip_value is not None:
            yield "clip_norm and clip_value exclude each other: leave one out"
        if self.class_weight == self.sampling == "balanced":
            yield 'class_weight and sampling = "balanced" do the same: leave one out'

    def _odd_solvers(self) -> Iterator[str]:
        solvers, head = {stage.solver for stage in self.stages}, self.head
        came = f"came {head.width} and {self.cached_views}"
        if "logistic" in solvers and (head.width or not self.cached_views):
            yield f'solver = "logistic" needs head.width = 0 and cached_views of 1 or more, {came}'
        if bool(head.centers) != ("kernel" in solvers) or {"kernel"} < solvers:
            found = f"head.centers = {head.centers} and solver = {', '.join(sorted(solvers))}"
            yield f'head.centers and solver = "kernel" go together, in all stages; came {found}'
        if "kernel" in solvers and (head.width or self.cached_views != 1):
            yield f'solver = "kernel" needs head.width = 0 and cached_views = 1, {came}'
        if "kernel" in solvers and self.class_weight == "balanced":
            yield 'solver = "kernel" knows no class_weight: leave it out'

    def _odd_box(self) -> Iterator[str]:
        if self.box is None:
            return
        if self.augmentation.mixup or self.augmentation.cutmix:
            yield "beside a box head there is no mixup and no cutmix: a mixed image has two boxes"
        if self.class_weight == "balanced":
            yield 'beside a box head there is no class_weight: take sampling = "balanced"'
        solved = [stage.solver for stage in self.stages if stage.solver != "gradient"]
        if solved and self.keep == "best":
            why = "the validation loss of that stage lacks the boxes, and would always be the best"
            yield f'beside a box head solver = "{solved[0]}" needs keep = "last": {why}'
        if len(solved) == len(self.stages):
            yield "a box head is trained by gradient: add a stage without solver"

    @property
    def fold_numbers(self) -> list[int]:
        """The folds that can be trained; fixed shares count as one."""
        return [0] if self.shares else list(range(self.folds))

    def check_fold(self, fold: int) -> None:
        """Raises ValueError where there is no such fold."""
        if fold not in self.fold_numbers:
            last = self.fold_numbers[-1]
            raise ValueError(f"fold {fold}: this recipe has the folds 0 to {last}")

    @property
    def pseudo_runs(self) -> list[str]:
        """The runs that pseudo-labels come from, each once."""
        return list(dict.fromkeys(stage.pseudo.run for stage in self.stages if stage.pseudo))

    @property
    def started_from(self) -> str | None:
        """The run whose backbone the training starts from, if there is one."""
        named = (text for text in (self.backbone, self.weights) if text.startswith(RUN))
        return next((text.removeprefix(RUN) for text in named), None)

    @property
    def needed_runs(self) -> list[str]:
        """All runs that the training reads, each once."""
        return list(dict.fromkeys(filter(None, [self.started_from, *self.pseudo_runs])))

    def stage_size(self, number: int | None = None) -> int:
        """Side of the images of a stage, pixels; of the last stage unless given."""
        return self.stages[-1 if number is None else number].image_size or self.image_size

    @property
    def cache_size(self) -> int:
        """Pixels that the shorter side of each image is shrunk to when it is decoded."""
        return round(max(map(self.stage_size, range(len(self.stages)))) * CACHED_DETAIL)


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Batches in an epoch: all full, and one if the images fill none."""
    return max(1, images // batch_size)


def default_stages(image_size: Any) -> list[dict[str, Any]]:
    """The four stages of the car solution: head, upper half, all, all on larger images."""
    larger = None
    if isinstance(image_size, int):  # whatever comes: see Recipe
        larger = max(round(image_size * LARGER), tables.MIN_IMAGE_SIZE)
        larger = min(larger, tables.MAX_IMAGE_SIZE)
    return [
        {"unfreeze": "head", "epochs": 5, "learning_rate": 1e-3},
        {"unfreeze": "half", "epochs": 5, "learning_rate": 1e-4},
        {"unfreeze": "all", "epochs": 5, "learning_rate": 1e-5},
        {"unfreeze": "all", "epochs": 3, "learning_rate": 1e-5, "image_size": larger},
    ]
