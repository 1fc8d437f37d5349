"""What a kernel will take on Kaggle, before it is pushed: time and memory, estimated."""

from collections.abc import Iterable
from dataclasses import dataclass

from podium.competitions import MissingData
from podium.kaggle.metadata import Machine, read_metadata
from podium.recipes.entries import get_entry
from podium.training.dry_run import ImageCounts, reckon
from podium.training.time_plan import Speeds
from podium.training.warm_start import resolve_backbone

# EfficientNet-B0 to -B7 (Tan and Le 2019, arXiv:1905.11946, table 2): billions of multiplications
# for an image, and its side; as they are built here, millions of parameters, blocks, and the values
# of all layers for a pixel of the image, which are what training keeps.
EFFICIENTNETS = {
    f"efficientnet-b{number}": row
    for number, row in enumerate(
        (
            (0.39, 224, 4.0, 18, 449),
            (0.70, 240, 6.6, 25, 636),
            (1.0, 260, 7.8, 25, 667),
            (1.8, 300, 10.8, 28, 884),
            (4.2, 380, 17.7, 34, 1167),
            (9.9, 456, 28.5, 41, 1618),
            (19.0, 528, 41.0, 47, 2073),
            (37.0, 600, 64.1, 57, 2790),
        )
    )
}
READ = 100  # images a second
BYTES = 18  # of a parameter: its value, gradient, and both means of Adam in float32, and in float16


@dataclass(frozen=True)
class Device:
    """What one device of a machine reaches in training."""

    speed: float  # operations a second
    start: float  # seconds until a stage's first step is done
    value_bytes: int  # of each value that is kept
    name: str = ""
    memory: float | None = None  # GB; None: the system's


# Such a network moves memory more than it multiplies: an H200 reached 13e12 (PyTorch) to 33e12
# (JAX) on B6, where compiling took 190 s. A T4's memory is 15 times slower, a v5e core's 6 times.
# Two cores of an EPYC reached 30e9 on B4.
DEVICES = {
    None: Device(60e9, 60.0, value_bytes=4),
    "NvidiaTeslaT4": Device(1.2e12, 150.0, value_bytes=2, name="T4", memory=14.7),
    "TpuV5E8": Device(3e12, 240.0, value_bytes=2, name="TPU core", memory=15.7),
}


def project(
    entry: str,
    overrides: Iterable[str] = (),
    folds: Iterable[int] = (),
    hours: float | None = None,
    machine: Machine | None = None,
) -> str:
    """Estimate what an entry takes on a machine, or say why not.

    Args:
        hours: after which the kernel ends, to be resumed: nothing is left out to fit.
        machine: by default the one that its metadata asks for.
    """
    if get_entry(entry).is_ensemble:
        return f"no estimate of the time: {entry} averages runs, which takes minutes at most"
    recipe = resolve_backbone(get_entry(entry).recipe(overrides))
    if hours is not None:
        recipe = recipe.model_copy(update={"time_budget": None})
    if recipe.backbone not in EFFICIENTNETS:
        return f"no estimate of the time: there is none for {recipe.backbone}"
    try:
        images = ImageCounts.of(recipe)
    except MissingData as error:
        return f"no estimate of the time: {error}"
    machine = machine or read_metadata(get_entry(entry)).machine
    device = DEVICES[machine.shape]
    multiplications, side, parameters, blocks, values = EFFICIENTNETS[recipe.backbone]
    speeds = Speeds(pixel=2e9 * multiplications / side**2 / (device.speed * machine.devices))
    count = len(set(folds)) or len(recipe.fold_numbers)
    start = device.start / (count if machine.backend == "jax" else 1)  # compiled once for all folds
    speeds.starts = dict.fromkeys(range(len(recipe.stages)), start)

    def unfrozen_share(which: str | int) -> float:
        return (
            which / blocks if isinstance(which, int) else {"head": 0.0, "half": 0.5}.get(which, 1)
        )

    memory = []
    for number, stage in enumerate(recipe.stages):
        pixels = (stage.batch_size or recipe.batch_size) * recipe.stage_size(number) ** 2
        share = max(unfrozen_share(stage.unfreeze), 0.2)  # a frozen part passes on, and forgets
        kept = pixels * values * share * device.value_bytes / machine.devices
        memory.append((kept + BYTES * 1e6 * parameters) / 1e9)
    found = reckon(
        recipe,
        images,
        speeds,
        unfrozen_share,
        memory,
        reading=(images.all + images.test) / READ,
        folds=count,
        minutes=None if hours else min(recipe.time_budget or machine.minutes, machine.minutes),
        estimated=True,
    )
    if device.memory is None:
        return f"{found}"
    fits = max(memory) <= device.memory
    of_each = f"{max(memory):.1f} of the {device.memory} GB of each {device.name}"
    return f"{found}\nmemory      {of_each}{'' if fits else ': too much; lower the batch_size'}"
