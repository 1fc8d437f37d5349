"""The model card of an export: README.md in the form of the Hugging Face Hub."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from podium.predictions.combine import current_results
from podium.predictions.score import Score, score
from podium.predictions.tta import VIEWS
from podium.runs.run import Run
from podium.serving.export.agreement import Agreement
from podium.text import summarize

MEANINGS = {  # of the outputs, by the task
    "classes": "a class each, their sum 1",
    "labels": "a label each, by itself",
    "grades": "of at least each grade above the first",
}


def model_card(
    run: Run, folds: Sequence[int], library: str, opened_with: str, agreement: Agreement
) -> str:
    """Write the card of these folds' networks.

    Args:
        library: as the Hub calls it.
        opened_with: packages.
    """
    text = (Path(__file__).parent / "static" / "card.md").read_text(encoding="utf-8")
    page = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    scores = list(_scores(run, folds))
    return page.from_string(text).render(
        run=run,
        recipe=run.recipe,
        competition=run.competition,
        classes=summarize(run.competition.classes, 20),
        images=f"{len(run.table.train):,}",
        size=run.image_size(folds[0]),
        meaning=MEANINGS[run.competition.task.name],
        folds=folds,
        library=library,
        opened_with=opened_with,
        agreement=agreement,
        scores=scores,
        own=scores[-1][1],
    )


def _scores(run: Run, folds: Sequence[int]) -> Iterator[tuple[str, Score]]:
    """How each score was measured, and the score; the one that is the file's own comes last."""
    folder, competition = run.folder, run.competition
    results = current_results(folder)
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
