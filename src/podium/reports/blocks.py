"""What a report is made of, before it is a page: sections of words, tables, charts and images."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from matplotlib.figure import Figure

NUMBER = re.compile(r"–|[+-]?[\d,.]+( (s|min|h|ms|GB|%))?( to [\d.]+)?")


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    kind: ClassVar[str] = "words"
    spans: ClassVar[bool] = False  # both columns of a wide page
    text: str
    left_out: bool = False  # it says what is not here, and why


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    kind: ClassVar[str] = "facts"
    spans: ClassVar[bool] = True
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class TableBlock:
    """Rows under their titles; columns of numbers stand right."""

    kind: ClassVar[str] = "table"
    spans: ClassVar[bool] = False
    caption: str
    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False  # behind its caption, until one asks for it

    @property
    def numeric(self) -> list[bool]:
        """For each column whether all that it has are numbers, perhaps with a unit."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.titles)
        return [
            any(column) and all(NUMBER.fullmatch(cell) for cell in column if cell)
            for column in columns
        ]


@dataclass(frozen=True)
class Chart:
    """A figure, and the name of its file beside the page."""

    name: str
    figure: Figure
    alt: str  # what it shows, for who cannot see it
    wide: bool = False  # it has the row for itself

    @property
    def pixels(self) -> int:
        """As wide as it is shown at the most, so that the letters of all charts are alike."""
        return round(105 * self.figure.get_figwidth())


@dataclass(frozen=True)
class Charts:
    """Charts side by side where there is room."""

    kind: ClassVar[str] = "charts"
    charts: Sequence[Chart]

    @property
    def spans(self) -> bool:
        return len(self.charts) > 1 or any(chart.wide for chart in self.charts)


@dataclass(frozen=True)
class ImageTile:
    """A small image with its label. `image` is a data URI; "" where the file cannot be read."""

    image: str
    alt: str  # what it shows, for who cannot see it
    name: str = ""  # of the file
    right: str = ""  # what is right about it, in green with a tick
    wrong: str = ""  # what is wrong, in red with a cross
    note: str = ""
    boxes: Sequence[tuple[str, Sequence[float]]] = ()  # "true" or "found", corners in shares


@dataclass(frozen=True)
class ImageGrid:
    """Images side by side."""

    kind: ClassVar[str] = "images"
    spans: ClassVar[bool] = True
    caption: str
    images: Sequence[ImageTile]
    strips: bool = False  # each is several in a row


Block = Words | Facts | TableBlock | Charts | ImageGrid


@dataclass(frozen=True)
class Section:
    """A part of the page that the table of contents names."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    headline: str  # the score, in large letters
    about: str  # under it
    sections: Sequence[Section]

    @property
    def charts(self) -> list[Chart]:
        """All of them, in their order."""
        blocks = [block for section in self.sections for block in section.blocks]
        return [chart for block in blocks if isinstance(block, Charts) for chart in block.charts]
