"""The model card says how the run is judged now."""

from pathlib import Path

from podium.predictions.combine import assemble
from podium.runs.run import Run
from podium.serving.export.agreement import Agreement, Difference
from podium.serving.export.card import model_card
from small_runs import TEST, TRAIN, write_fold, write_run


def test_a_fold_that_came_later_counts_in_the_score(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", folds=[0])
    assemble(folder)
    train = Run.open(folder).table.train
    write_fold(folder, 1, train.index[train["fold"] == 1], TEST, seed=0)
    same = Difference(0.0, 0.0, 0)
    agreement = Agreement(len(TRAIN), 1e-3, same, same, None)
    card = model_card(Run.open(folder), [0], "keras", "keras", agreement)
    whole = next(line for line in card.splitlines() if line.startswith("- The run, out-of-fold"))
    assert whole.endswith(f", {len(TRAIN)} images)")
