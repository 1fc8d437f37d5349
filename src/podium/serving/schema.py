"""Requests and responses of the HTTP API, described once: for /docs and for the page."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

Share = Annotated[float, Field(ge=0, le=1)]


class RequestLimits(BaseModel):
    """The limits of requests; beyond them comes an error with the status in brackets."""

    megabytes: float = Field(20, description="Of an image (413).")
    pixels: int = Field(60_000_000, description="Of an image, known from its header (413).")
    images: int = Field(16, description="Of a request (413).")
    seconds: float = Field(20, description="To send a request (408), and to answer it (504).")
    requests: int = Field(16, description="Of a client at the same time, of all four times (503).")

    @property
    def request_bytes(self) -> int:
        """The bytes of a request: its images and the form around them (413)."""
        return int(2e6 * self.megabytes) + 100_000


class ClassScore(BaseModel):
    """A class, its probability, and the evidence for it."""

    name: str
    probability: Share
    heat: list[list[Share]] | None = Field(
        description="Grad-CAM of the likeliest three: a grid over the image, 1 where the evidence "
        "for this class is strongest. Null for others, and where the network has none."
    )


class ImageFile(BaseModel):
    """An image that was sent."""

    name: str = Field(description="Of the file, without a path.")
    status: Literal[200] = 200
    width: int = Field(description="Pixels of the image, upright.")
    height: int


class Prediction(BaseModel):
    """The outputs of the networks for an image."""

    said: list[str] = Field(
        description="The class or the grade of the image; its labels where it may have several."
    )
    classes: list[ClassScore] = Field(
        description="All, the likeliest first; of grades the probabilities of at least each."
    )
    box: dict[str, Share] | None = Field(
        description="x_min, y_min, x_max and y_max around the object, in shares of the upright "
        "image's sides. Null where the run has no box head."
    )
    ood: bool = Field(description="Out-of-distribution: unlike the training images.")
    ood_score: float = Field(description="An image that scores above `ood_limit` is OOD.")
    ood_limit: float | None = Field(description="Null: too few known images to set a limit.")
    ood_p_value: Share = Field(description="Share of known images that score as high or higher.")


class ImageResponse(Prediction, ImageFile):
    """The prediction for an image that was sent."""


class ImageError(BaseModel):
    """An image that could not be read."""

    name: str
    status: int = Field(description="413 too large, 415 no image, 422 broken.")
    detail: str


class PredictResponse(BaseModel):
    """The predictions for all images of a request, in their order."""

    run: str
    images: list[ImageResponse | ImageError]


class ErrorResponse(BaseModel):
    """The reason why a request failed."""

    detail: str


class Example(BaseModel):
    """An image that the network was not trained on, with its true class."""

    address: str
    name: str
    path: Path = Field(exclude=True)


class RunInfo(BaseModel):
    """The run that is served."""

    run: str
    competition: str
    classes: list[str]
    networks: str
    score: str | None
    out_of_distribution: str = Field(description="How OOD images are found.")
    no_heat: str | None = Field(description="Why there are no heat maps, if there are none.")
    boxes: bool
    limits: RequestLimits
    examples: list[Example]
