"""The head stage on cached features against the frozen backbone in every epoch."""

from pathlib import Path

import benchmarks.quiet  # noqa: F401

# isort: split
import keras

from benchmarks.drawing import draw, one_hot
from benchmarks.measuring import Row, in_turns, main, seconds
from benchmarks.small_runs import make_fold, make_recipe, make_training
from podium.data.batches import ImageCache

EPOCHS = 30
VIEWS = 2  # cached ones, as the entries for a CPU have it


def measure(quick: bool, scratch: Path) -> list[Row]:
    backbone, size, count = ("resnet-8", 16, 24) if quick else ("efficientnet-b0", 128, 480)
    epochs = 2 if quick else EPOCHS
    paths = draw(scratch / "images", count, (64, 48) if quick else (160, 120))
    images = make_fold(ImageCache(paths, size, 0.5), one_hot(paths), count // 5)
    stage = {"unfreeze": "head", "epochs": epochs}
    runs = iter(range(1000))

    def run(cached_views: int) -> float:
        keras.backend.clear_session()
        recipe = make_recipe(backbone, size, 16, stage, cached_views=cached_views)
        return seconds(make_training(recipe, images, scratch / f"run-{next(runs)}"))

    measured = in_turns(
        {"cached": lambda: run(VIEWS), "every epoch": lambda: run(0)},
        turns=1,  # of minutes
        warm_up=False,
    )
    what = f"head stage, {epochs} epochs: {backbone}, {count} images at {size} px"
    return [
        Row(
            f"{what}, {VIEWS} cached views",
            "the frozen backbone in every epoch",
            "s",
            measured["cached"],
            measured["every epoch"],
            gain="theirs / ours",
            to_reach="≥ 10",
            note="all of the stage: features, tracing, logistic regression, files; a fifth of the "
            "images validates, so that the backbone sees 1 image in place of 16.7",
        )
    ]


if __name__ == "__main__":
    main(measure)
