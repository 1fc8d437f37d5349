"""What a kernel will take on Kaggle, before it is pushed: time and memory, estimated."""

from collections.abc import Iterable

from podium.competitions import MissingData
from podium.kaggle.kernel import Kernel
from podium.kaggle.machines import Machine
from podium.training.dry_run import Costs, ImageCounts, reckon
from podium.training.time_plan import Speeds
from podium.training.warm_start import resolve_backbone

# EfficientNet-B0 to -B7 (Tan and Le 2019, arXiv:1905.11946, table 2): billions of multiplications
# for an image, and its side; as they are built here, millions of parameters, blocks, and the values
# of all layers for a pixel of the image, which are what training keeps.
EFFICIENTNETS = {
    "efficientnet-b0": (0.39, 224, 4.0, 18, 449),
    "efficientnet-b1": (0.70, 240, 6.6, 25, 636),
    "efficientnet-b2": (1.0, 260, 7.8, 25, 667),
    "efficientnet-b3": (1.8, 300, 10.8, 28, 884),
    "efficientnet-b4": (4.2, 380, 17.7, 34, 1167),
    "efficientnet-b5": (9.9, 456, 28.5, 41, 1618),
    "efficientnet-b6": (19.0, 528, 41.0, 47, 2073),
    "efficientnet-b7": (37.0, 600, 64.1, 57, 2790),
}
READ = 100  # images a second
BYTES = 18  # of a parameter: its value, gradient, and both means of Adam in float32, and in float16


def project(kernel: Kernel, machine: Machine, folds: Iterable[int] = ()) -> str:
    """Estimate what a kernel takes on a machine, or these folds, or say why not."""
    entry, hours = kernel.entry, kernel.hours
    if entry.is_ensemble:
        return f"no estimate of the time: {entry.name} averages runs, which takes minutes at most"
    recipe = resolve_backbone(entry.recipe(kernel.overrides))
    if hours is not None:  # after them it is to be resumed: nothing is left out to fit
        recipe = recipe.model_copy(update={"time_budget": None})
    if recipe.backbone not in EFFICIENTNETS:
        return f"no estimate of the time: there is none for {recipe.backbone}"
    try:
        images = ImageCounts.of(recipe)
    except MissingData as error:
        return f"no estimate of the time: {error}"
    multiplications, side, parameters, blocks, values = EFFICIENTNETS[recipe.backbone]
    speeds = Speeds(pixel=2e9 * multiplications / side**2 / (machine.speed * machine.devices))
    count = len(set(folds)) or len(recipe.fold_numbers)
    compiled = count if machine.backend == "jax" else 1  # once for so many folds
    speeds.starts = dict.fromkeys(range(len(recipe.stages)), machine.start / compiled)

    def unfrozen_share(which: str | int) -> float:
        named = {"head": 0.0, "half": 0.5, "all": 1.0}
        return which / blocks if isinstance(which, int) else named[which]

    memory = []
    for number, stage in enumerate(recipe.stages):
        pixels = (stage.batch_size or recipe.batch_size) * recipe.stage_size(number) ** 2
        share = max(unfrozen_share(stage.unfreeze), 0.2)  # a frozen part passes on, and forgets
        kept = pixels * values * share * machine.value_bytes / machine.devices
        memory.append((kept + BYTES * 1e6 * parameters) / 1e9)
    reading = (images.all + images.test) / READ
    costs = Costs(speeds, unfrozen_share, memory, reading, estimated=True)
    minutes = None if hours else min(recipe.time_budget or machine.minutes, machine.minutes)
    found = reckon(recipe, images, costs, count, minutes)
    if machine.memory is None:
        return f"{found}"
    fits = max(memory) <= machine.memory
    of_each = f"{max(memory):.1f} of the {machine.memory} GB of each device"
    return f"{found}\nmemory      {of_each}{'' if fits else ': too much; lower the batch_size'}"
