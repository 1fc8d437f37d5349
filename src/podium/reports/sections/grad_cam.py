"""A batch as the network was trained on it, and Grad-CAM: where in an image it sees a class."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from podium.data.table import read_table
from podium.files.image_io import UnreadableImage, resize
from podium.reports.blocks import ImageGrid, ImageTile, Section, Words
from podium.reports.run_data import RunData
from podium.reports.thumbnails import as_uri, verdict, with_heat
from podium.runs.fold_folder import RunError
from podium.runs.run import Run
from podium.training.train import start_runner

if TYPE_CHECKING:  # takes seconds
    from podium.models.grad_cam import GradCam
    from podium.training.fold_runner import FoldRunner

AUGMENTED = 14  # images of a batch
LOOKED_AT = 6  # right images, and as many wrong ones
TILE = 150  # pixels: an image of a strip
BATCH, CAM = "As the network sees them", "Grad-CAM"


def seen_sections(one: RunData, fold_run: "FoldRunner | None" = None) -> list[Section]:
    """Both sections; where images or weights are not here, why they are left out.

    Args:
        fold_run: that has just trained the run, where one has: its network is in memory.
    """
    if one.recipe is None:
        return [_left_out(CAM, "a blend has no network of its own; its runs' reports have them")]
    if one.missing:
        return [_left_out(title, one.missing) for title in (BATCH, CAM)]
    if fold_run is None:
        try:
            run = Run.open(one.folder)
            run = replace(run, table=read_table(run.competition, one.folder))
        except RunError:  # whose message names folders of this machine
            why = "the images here are others than those that the run was trained with"
            return [_left_out(title, why) for title in (BATCH, CAM)]
        fold_run = start_runner(run)
    return [_batch(one, fold_run), _grad_cam(one, fold_run)]


def _left_out(title: str, why: str) -> Section:
    return Section(title, [Words(f"Left out: {why}.", left_out=True)])


def _batch(one: RunData, fold_run: "FoldRunner") -> Section:
    fold = fold_run.loaded if fold_run.loaded is not None else one.folds[0]
    try:
        seen = fold_run.sample_augmented(fold, AUGMENTED)
    except UnreadableImage as error:
        return _left_out(BATCH, f"a batch cannot be made any more ({type(error).__name__})")
    size = seen.images.shape[1]
    caption = f"Fold {fold}, stage {seen.stage + 1}, {size} px: training images, augmented"
    tiles = []
    for number, (image, label) in enumerate(zip(seen.images, seen.labels, strict=True)):
        named = _named(label, one)
        boxes = []
        if seen.boxes is not None and np.isfinite(seen.boxes[number]).all():
            boxes = [("true", seen.boxes[number].tolist())]
        alt = f"augmented training image: {named}"
        tiles.append(ImageTile(as_uri(image), alt, note=named, boxes=boxes))
    return Section(BATCH, [ImageGrid(caption, tiles)])


def _named(target: np.ndarray, one: RunData) -> str:
    """The answer that a target asks for, or what is mixed in it with the shares."""
    task = one.competition.task
    if not task.sums_to_one and np.isin(target, (0, 1)).all():
        return one.named(task.decide(target[np.newaxis]))[0]
    outputs, present = one.competition.outputs, np.flatnonzero(target > 0.005)
    if len(present) == 1:
        return outputs[present[0]]
    ordered = present[np.argsort(-target[present])]
    return " + ".join(f"{target[number]:.2f} {outputs[number]}" for number in ordered)


def _grad_cam(one: RunData, fold_run: "FoldRunner") -> Section:
    """A sample of what one fold's network has not seen in its training."""
    folds = [fold for fold in one.folds if one.folder.fold(fold).can_predict]
    if not folds:
        return _left_out(CAM, "no weights were kept")
    fold = fold_run.loaded if fold_run.loaded in folds else folds[0]
    from podium.models.grad_cam import GradCam, NoHeatMap

    judged = one.judged
    if "fold" in judged and (judged["fold"] == fold).any():
        judged = judged[judged["fold"] == fold]
    here = judged[judged.index.isin(one.paths.index)]
    right = here["said"] == here["label"]
    captions = {
        "Right: the image, and where the network sees what it says": here[right],
        "Wrong: the image, where it sees what it says, and where the label's class": here[~right],
    }
    try:
        heat = GradCam(fold_run.network(fold))
        blocks = [
            ImageGrid(caption, list(_strips(one, fold_run, heat, _sample(rows))), strips=True)
            for caption, rows in captions.items()
            if len(rows)
        ]
    except NoHeatMap as error:
        return _left_out(CAM, str(error))
    except UnreadableImage:
        return _left_out(CAM, "an image's file cannot be read")
    text = f"By the network of fold {fold}, on images that it was not trained on."
    return Section(CAM, [Words(text), *blocks])


def _sample(rows: pd.DataFrame) -> pd.DataFrame:
    """A few of these images, from the least to the most confident one."""
    places = np.linspace(0, len(rows) - 1, min(LOOKED_AT, len(rows))).astype(int)
    return rows.sort_values("sure", kind="stable").iloc[places]


def _strips(
    one: RunData, fold_run: "FoldRunner", heat: "GradCam", rows: pd.DataFrame
) -> Iterator[ImageTile]:
    images, outputs = fold_run.plain(rows.index), one.competition.outputs
    maps = heat(images, rows[["said_output", "true_output"]].to_numpy())
    for image, pair, (name, row) in zip(images, maps, rows.iterrows(), strict=True):
        said, true = outputs[row["said_output"]], outputs[row["true_output"]]
        shown = {said: pair[0], true: pair[1]}  # one where the answer is right
        tile = resize(image, TILE, TILE)
        strip = np.hstack([tile, *(with_heat(tile, one_map) for one_map in shown.values())])
        nowhere = ", ".join(label for label, one_map in shown.items() if not one_map.any())
        yield ImageTile(
            as_uri(strip, 3 * TILE),
            f"{row['truth']}, and where the network sees {' and '.join(shown)}",
            name,
            **verdict(row),
            note=f"no evidence for {nowhere}" if nowhere else "",
        )
