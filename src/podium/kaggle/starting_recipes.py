"""The recipes that `podium new` begins with, fitted to the size and number of the images."""

from podium.competitions.inspection import Inspection

# Metrics of probabilities: smoothed labels make these worse, though they often help the others.
OF_PROBABILITIES = "log-loss", "roc-auc"

TRAINING = """\
[one_cycle]
warmup = 0.15
final_divisor = 50.0
momentum = [] # AdamW's own

[head]
width = 0
dropout = 0.3

[augmentation]
mirror = true # false where left and right differ
crop = 0.6
rotate = 8.0
light = 0.2
color = 0.06
erase = 0.1
"""


def recipe_for_cpu(entry: str, competition: str, seen: Inspection) -> str:
    """The text of the recipe.toml of an entry that a CPU can train."""
    return f"""\
# {_title(competition, seen)}, by an EfficientNetB0 on a CPU.
#
#     podium train {entry} --preset quick    # minutes; good: an hour, best: a night
#     podium train {entry}                   # what is written here
#
# Written by `podium new`, which has not tried it. Every key is in docs/recipes.md.

competition = "{competition}"
backbone = "efficientnet-b0"
weights = "imagenet"
image_size = {_size(seen, 64, 224)}
batch_size = 16
folds = {_folds(seen)}
views = 4
optimizer = "adamw"
weight_decay = 0.02
clip_norm = 1.0
label_smoothing = {_smoothing(seen)}
cached_views = 2

stages = [
    {{ unfreeze = "head", epochs = 20, learning_rate = 2e-3 }},
    {{ unfreeze = "half", epochs = 12, learning_rate = 3e-4 }},
]

{TRAINING}"""


def recipe_for_kaggle(entry: str, competition: str, seen: Inspection) -> str:
    """The text of the recipe.toml of an entry for two T4s, as kernels/cars-b6 has it."""
    size = _size(seen, 128, 320)
    larger = _multiple(size * 5 // 4)
    return f"""\
# {_title(competition, seen)}, by an EfficientNetB6 on Kaggle's GPUs.
#
#     podium push {entry} --wait    # docs/kaggle.md says how weights and images get there
#
# Written by `podium new`, which has not tried it. The stages are those of cars-b6: the upper two
# thirds at a high rate for long, as few fine-grained images were best trained.

competition = "{competition}"
backbone = "efficientnet-b6"
weights = "noisy-student"
image_size = {size}
batch_size = 32 # over two T4s
folds = {_folds(seen)}
views = 4
optimizer = "adamw"
weight_decay = 0.02
clip_norm = 1.0
label_smoothing = {_smoothing(seen)}
cached_views = 2
time_budget = 660 # minutes; Kaggle ends a kernel after 720

# the last 31 blocks begin at 4a
stages = [
    {{ unfreeze = "head", solver = "logistic" }},
    {{ unfreeze = 31, epochs = 20, learning_rate = 1e-3 }},
    {{ unfreeze = 31, epochs = 3, learning_rate = 2e-4, image_size = {larger}, batch_size = 16 }},
]

{TRAINING}"""


def _title(competition: str, seen: Inspection) -> str:
    declared = seen.declaration
    kinds = f"{len(declared['classes'])} {declared['task']}"
    return f"{competition}: {seen.images:,} images of {kinds}, scored by {declared['metric']}"


def _size(seen: Inspection, least: int, most: int) -> int:
    """The side of the images trained on: that of the middle image, within what is worth it."""
    return min(max(_multiple(seen.shorter_side), least), most)


def _multiple(side: int) -> int:
    return 16 * round(side / 16)


def _folds(seen: Inspection) -> int:
    """Those that are given, or five, or as many as the rarest class has images for."""
    return seen.folds or max(2, min(5, seen.rarest))


def _smoothing(seen: Inspection) -> float:
    return 0.0 if seen.declaration["metric"] in OF_PROBABILITIES else 0.1
