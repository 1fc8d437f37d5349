"""The model card of an export: README.md in the form of the Hugging Face Hub."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from podium.predictions.combine import score_folds
from podium.predictions.score import Score, score
from podium.predictions.tta import VIEWS
from podium.runs.run import Run
from podium.serving.export.agreement import Agreement
from podium.text import summarize


def model_card(
    run: Run, folds: Sequence[int], library: str, opened_with: str, agreement: Agreement
) -> str:
    """Write the card of these folds' networks.

    Args:
        library: as the Hub calls it.
        opened_with: packages.
    """
    competition, recipe, train = run.competition, run.recipe, run.table.train
    measured = list(_scores(run, folds))
    last = measured[-1][1]
    listed = ", ".join(map(str, folds))
    told = f"network of fold {listed}" if len(folds) == 1 else f"mean of folds {listed}"
    task = {
        "classes": "a class each, their sum 1",
        "labels": "a label each, by itself",
        "grades": "of at least each grade above the first",
    }
    quantized = ""
    if agreement.quantized_gain:
        gain = agreement.quantized_gain.as_gain
        quantized = f" In 8-bit integers the metric gains {gain} on them."
    named = f"{competition.name}, {len(train):,} images of {len(competition.classes)} classes"
    card = (Path(__file__).parent / "static" / "card.md").read_text(encoding="utf-8")
    return card.format(
        library=library,
        name=json.dumps(run.name),
        dataset=json.dumps(competition.slug),
        metric=json.dumps(last.metric.replace(" ", "-")),
        metric_name=json.dumps(last.metric),
        value=f"{last.value:.4f}",
        title=f"{run.name}, {told}",
        backbone=recipe.backbone,
        training=f"{named} ({summarize(competition.classes, 20)})",
        opened_with=opened_with,
        size=run.image_size(folds[0]),
        outputs=len(competition.outputs),
        meaning=task[competition.task.name],
        boxes="; `boxes`, float32 (batch, 4): x_min, y_min, x_max, y_max in shares of the image"
        * (recipe.box is not None),
        scores="\n".join(f"- {what}: {one}" for what, one in measured),
        images=agreement.images,
        agreement=agreement.file,
        reading=agreement.reading,
        quantized=quantized,
        competition=f"{competition.name} (`{competition.slug}`)",
        run=run.name,
        pretrained="" if recipe.weights == "none" else f" and start from weights {recipe.weights}",
    )


def _scores(run: Run, folds: Sequence[int]) -> Iterator[tuple[str, Score]]:
    """How each score was measured, and the score; the one that is the file's own comes last."""
    folder, competition = run.folder, run.competition
    if (folder.path / "score.json").is_file():
        results = folder.read_score()
    else:
        results = score_folds(run, folder.scored_folds()).as_dict(folder)
    views = ", ".join(results.get("views", {}))
    leaks = "".join(f"; leaky: {why}" for why in folder.leaky_folds().values())
    best = "; the best epoch was chosen on these images" * (run.recipe.keep == "best")
    kind = results.get("scored", "out-of-fold") + leaks + best
    yield f"The run, {kind}, mean of views ({views})", Score.from_dict(results["score"])
    if "plain" in results:
        told = "The same without views, as this file sees images, on validation images"
        yield told, Score.from_dict(results["plain"])
    if len(folds) == 1 and not results.get("thresholds"):
        train, found = run.table.train, folder.fold(folds[0]).read_predictions("validation")
        mine = train.index[train["fold"] == folds[0]]
        plain = found.xs(VIEWS[0].name, level="view").loc[mine]
        alone = score(competition.metric, competition.truth(train["label"]), plain, train["group"])
        yield f"This network alone, without views, on the images of fold {folds[0]}", alone
