"""A run or a blend taken elsewhere, with what predicting other test images needs and no more."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from podium import paths
from podium.files.atomic_write import copy_whole, write_json
from podium.predictions.blend_selection import BlendChoice
from podium.predictions.combine import score_folds, written_results
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.runs.run_folder import RunFolder

# The table for the share of each class, the score for views, calibrations and thresholds.
NEEDED = ("pictures.csv", "score.json", paths.DECLARATION, "fold-*/best.weights.h5")
LAST = ("fold-*/cost.json", "run.json")  # these make the folds scored, and the folder a run


def copy_to_predict(run: RunFolder, into: RunFolder) -> None:
    """Copy what predicts of a run, whose score is computed where it is not of all its folds.

    Raises:
        RunError: no fold is trained, the weights of one were deleted, or the run is damaged.
    """
    folds, is_blend = run.scored_folds(), bool(run.read_blended())
    if not is_blend and not (folds and all(run.fold(fold).can_predict for fold in folds)):
        told = "no fold is trained, or the weights of one are gone"
        raise RunError(f"{run.path} cannot predict ({told}): train it to its end first")
    for pattern in (*NEEDED, *LAST):
        for path in sorted(run.path.glob(pattern)):
            copy_whole(path, into.path / path.relative_to(run.path))
    if not is_blend and not written_results(run, folds):
        scores = score_folds(Run.open(run), folds)
        write_json(into.path / "score.json", scores.as_dict(run))


def blend_again(blend: RunFolder, members: Sequence[RunFolder]) -> None:
    """Blend what the runs of a stored blend have predicted by now, by what was fitted then.

    Args:
        members: in the order of the blend.

    Raises:
        RunError: the blend was written by a Podium that did not keep what it had fitted.
    """
    fitted = blend.read_score().get("fitted")
    if not fitted:
        raise RunError(f"{blend.path} does not say how it was fitted: make it anew, podium blend")
    images = members[0].read_images().query("part == 'test'")
    ids = images.index
    tables = [member.read_probabilities("test").loc[ids] for member in members]
    blended = BlendChoice.from_dict(fitted)(np.stack([table.to_numpy() for table in tables]))
    probabilities = pd.DataFrame(blended.astype(np.float32), ids, tables[0].columns)
    found = [boxes for member in members if (boxes := member.read_boxes("test")) is not None]
    boxes = sum(one.loc[ids] for one in found) / len(found) if found else None
    train = blend.read_images().query("part == 'train'")
    blend.write_images(pd.concat([train, images]).set_index("part", append=True).swaplevel())
    blend.write_probabilities("test", probabilities, boxes)
