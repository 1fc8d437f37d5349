"""A batch as the network was trained on it, and Grad-CAM: where in an image it sees a class."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from podium.data.table import open_run
from podium.files.image_io import UnreadableImage, resize
from podium.reports.blocks import ImageGrid, ImageTile, Section, Words
from podium.reports.run_data import RunData
from podium.reports.sections.mistakes import evenly
from podium.reports.thumbnails import as_uri, box, with_heat
from podium.runs.fold_folder import RunError
from podium.system import import_tensorflow

if TYPE_CHECKING:  # takes seconds
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
    try:
        fold_run = fold_run or _open(one)
    except RunError:  # whose message names folders of this machine
        why = "the images here are others than those that the run was trained with"
        return [_left_out(title, why) for title in (BATCH, CAM)]
    return [_batch(one, fold_run), _grad_cam(one, fold_run)]


def _left_out(title: str, why: str) -> Section:
    return Section(title, [Words(f"Left out: {why}.", left_out=True)])


def _open(one: RunData) -> "FoldRunner":
    run = open_run(one.folder)
    import_tensorflow()
    from podium.training.fold_runner import FoldRunner

    return FoldRunner(run)


def _batch(one: RunData, fold_run: "FoldRunner") -> Section:
    fold = fold_run.loaded if fold_run.loaded is not None else one.folds[0]
    from tensorflow.errors import OpError  # what becomes of an error in a batch

    try:
        seen = fold_run.sample_augmented(fold, AUGMENTED)
    except (UnreadableImage, OpError) as error:
        return _left_out(BATCH, f"a batch cannot be made any more ({type(error).__name__})")
    size = seen.images.shape[1]
    caption = f"Fold {fold}, stage {seen.stage + 1}, {size} px: training images, augmented"
    images = []
    for number, (image, label) in enumerate(zip(seen.images, seen.labels, strict=True)):
        named = _named(label, one.classes)
        boxes = []
        if seen.boxes is not None and np.isfinite(seen.boxes[number]).all():
            boxes = [box(seen.boxes[number], truth=True)]
        images.append(
            ImageTile(as_uri(image), f"augmented training image: {named}", note=named, boxes=boxes)
        )
    return Section(BATCH, [ImageGrid(caption, images)])


def _named(label: np.ndarray, classes: list[str]) -> str:
    """The class of a one-hot label, or the classes of a mixed one with their shares."""
    present = np.flatnonzero(label > 0.005)
    if len(present) == 1:
        return classes[present[0]]
    ordered = present[np.argsort(-label[present])]
    return " + ".join(f"{label[number]:.2f} {classes[number]}" for number in ordered)


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
    hits = evenly(here[right].sort_values("sure", kind="stable"), LOOKED_AT)
    misses = evenly(here[~right].sort_values("sure", ascending=False, kind="stable"), LOOKED_AT)
    try:
        heat = GradCam(fold_run.network(fold))
        blocks = [
            ImageGrid(caption, list(_strips(one, fold_run, heat, rows)), strips=True)
            for caption, rows in (
                ("Right: the image, and where the network sees what it says", hits),
                (
                    "Wrong: the image, where it sees what it says, and where the label's class",
                    misses,
                ),
            )
            if len(rows)
        ]
    except NoHeatMap as error:
        return _left_out(CAM, str(error))
    except UnreadableImage:
        return _left_out(CAM, "an image's file cannot be read")
    text = f"By the network of fold {fold}, on images that it was not trained on."
    return Section(CAM, [Words(text), *blocks])


def _strips(one: RunData, fold_run: "FoldRunner", heat, rows: pd.DataFrame) -> Iterator[ImageTile]:
    images = fold_run.plain(rows.index)
    maps = heat(images, rows[["said", "label"]].to_numpy())
    for image, (of_said, of_label), (name, row) in zip(images, maps, rows.iterrows(), strict=True):
        said, truth = row["answer"], row["truth"]
        tile = resize(image, TILE, TILE)
        tiles, hit = [tile, with_heat(tile, of_said)], row["said"] == row["label"]
        if not hit:
            tiles.append(with_heat(tile, of_label))
        nowhere = [
            name for name, one_map in ((said, of_said), (truth, of_label)) if not one_map.any()
        ]
        yield ImageTile(
            as_uri(np.hstack(tiles), SIDE_OF_STRIP),
            f"{truth}, and where the network sees {said}" + ("" if hit else f" and {truth}"),
            str(name),
            right=f"{said} {row['sure']:.2f}" if hit else "",
            wrong="" if hit else f"{said} {row['sure']:.2f}, labeled {truth}",
            note=f"no evidence for {', '.join(dict.fromkeys(nowhere))}" if nowhere else "",
        )


SIDE_OF_STRIP = 3 * TILE
