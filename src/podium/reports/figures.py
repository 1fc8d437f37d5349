"""How the figures of a report look: colors that everybody can tell apart, and room for a phone."""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008); lines differ by their marks as well.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH, HEIGHT = 5.4, 3.7  # inches: on a phone the letters are still 10 pixels high
GRAY = "#57606a"


def png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as an image, for a page or a notebook."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def canvas(width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty figure with one panel."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#e3e6ea", linewidth=0.7)
    axis.set_axisbelow(True)
    return figure, axis


def plain(text: str) -> str:
    """A name from elsewhere as matplotlib shall draw it: its dollars begin no formula."""
    return text.replace("$", r"\$")
