"""Part d: images a second that Podium predicts in four views."""

from benchmarks.gpu.device import about_device, peak_gb
from benchmarks.gpu.fitting import opened
from benchmarks.gpu.parts import Found, Sizes
from benchmarks.measuring import seconds
from podium.models.backend import Devices
from podium.predictions.predict import predict_views
from podium.predictions.tta import VIEWS

FEW = 320  # images


def measure(found: Found, sizes: Sizes) -> None:
    entry, recipe = sizes.large[0], sizes.large_recipe()
    size, views = recipe.stage_size(), VIEWS[:4]
    found.add(
        **about_device(),
        entry=entry,
        backbone=recipe.backbone,
        image_size=size,
        batch_size=recipe.batch_size,
        views=len(views),
    )
    with opened(entry, recipe, Devices()) as runner:
        model = runner.open(0).model
        table = runner.table.train.iloc[:FEW]

        def predict() -> None:
            predict_views(
                model, runner._cache, range(len(table)), table.index, runner.competition.classes,
                views, size, recipe.batch_size,
            )  # fmt: skip

        found.add(first_seconds=round(seconds(predict), 1))  # compiled, and images decoded
        turns = [len(table) / seconds(predict) for _ in range(sizes.turns)]
        found.add(images_a_second=[round(one, 1) for one in turns], peak_memory_gb=peak_gb())
