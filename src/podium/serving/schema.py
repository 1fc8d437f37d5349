"""What the API answers: described once, for /docs and for the page."""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field

from podium.competitions.boxes import BOX_COLUMNS
from podium.runs.fold_folder import RunError
from podium.serving.decoding import Square
from podium.serving.engine import Engine, Seen
from podium.serving.limits import RequestLimits

Share = Annotated[float, Field(ge=0, le=1)]


class ClassFound(BaseModel):
    """A class, how likely it is, and where it was seen."""

    name: str
    probability: Share
    heat: list[list[Share]] | None = Field(
        description="Grad-CAM: rows of a grid over the whole image, 1 where most speaks for this "
        "class. For the likeliest three; null for others, and where the network has none."
    )


class BoxFound(BaseModel):
    """Around what the image shows, in shares of the upright image's width and height."""

    x_min: Share
    y_min: Share
    x_max: Share
    y_max: Share


class Answered(BaseModel):
    """What the run says of an image."""

    name: str = Field(description="Of the file, without a path.")
    status: Literal[200] = 200
    width: int = Field(description="Pixels of the image, upright.")
    height: int
    classes: list[ClassFound] = Field(description="All, the likeliest first.")
    box: BoxFound | None = Field(description="Null where the run has no box head.")
    unlike: bool = Field(description="Whether it is unlike anything in the run's training.")
    score: float = Field(description="How unlike; it is called unlike above `limit`.")
    limit: float | None = Field(description="Null: too few known images to call any unlike.")
    as_unlike: Share = Field(
        description="Share of images of the known kind, unseen by the network, that are as "
        "unlike or more: small is strange."
    )


class NotAnswered(BaseModel):
    """An image that could not be read."""

    name: str
    status: int = Field(description="413 too large, 415 no image, 422 broken.")
    detail: str


class PredictResponse(BaseModel):
    """Of all images of a request, in their order."""

    run: str
    images: list[Answered | NotAnswered]


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str


class Example(BaseModel):
    """An image that the network has not seen, with its true class."""

    address: str
    name: str


class LimitsTold(BaseModel):
    """What a request may be."""

    megabytes: float
    pixels: int
    images: int
    seconds: float


class About(BaseModel):
    """The run that answers."""

    run: str
    competition: str
    classes: list[str]
    networks: str
    score: str | None
    unlikeness: str
    no_heat: str | None = Field(description="Why there are no heat maps, if there are none.")
    boxes: bool
    limits: LimitsTold
    examples: list[Example]


class Health(BaseModel):
    """That it answers."""

    status: Literal["ok"] = "ok"
    run: str


def answered(name: str, square: Square, seen: Seen, engine: Engine) -> Answered:
    """The answer for an image."""
    order = np.argsort(-seen.probabilities, kind="stable")
    heat = {} if seen.heat is None else dict(zip(seen.top.tolist(), seen.heat, strict=True))
    limit = engine.ood_detector.limit
    return Answered(
        name=name,
        width=square.width,
        height=square.height,
        classes=[
            ClassFound(
                name=engine.classes[number],
                probability=min(round(float(seen.probabilities[number]), 6), 1.0),
                heat=heat[number].astype(float).round(3).tolist() if number in heat else None,
            )
            for number in order.tolist()
        ],
        box=None
        if seen.box is None
        else BoxFound(**dict(zip(BOX_COLUMNS, seen.box.astype(float).round(4), strict=True))),
        unlike=bool(seen.score > limit),
        score=round(seen.score, 4),
        limit=round(limit, 4) if np.isfinite(limit) else None,
        as_unlike=round(seen.beyond, 4),
    )


def about(engine: Engine, limits: RequestLimits, examples: list[Example]) -> About:
    """What the page says of the run before any image has come."""
    trained = len(engine.folder.scored_folds())
    which = ", ".join(map(str, engine.folds))
    many = f"s {which} are averaged" if len(engine.folds) > 1 else f" {which} answers"
    return About(
        run=engine.folder.name,
        competition=engine.competition.name,
        classes=engine.classes,
        networks=f"of {trained} trained networks, fold{many}",
        score=_score(engine),
        # Without the remark, which may name places on this machine.
        unlikeness=str(replace(engine.ood_detector, remark="")),
        no_heat=engine.no_heat or None,
        boxes=engine.finds_boxes,
        limits=LimitsTold(
            megabytes=limits.megabytes,
            pixels=limits.pixels,
            images=limits.images,
            seconds=limits.seconds,
        ),
        examples=examples,
    )


def _score(engine: Engine) -> str | None:
    """In one line; a run that still trains has none."""
    try:
        score = engine.folder.read_score()["score"]
        named = f"{score['metric']} {score['value']:.3f}"
        return f"{named} (95 % interval {score['low']:.3f} to {score['high']:.3f})"
    except (RunError, KeyError):
        return None
