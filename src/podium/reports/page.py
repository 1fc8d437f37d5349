"""A report as one HTML file: it loads nothing, and whatever it is told is escaped."""

import base64
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from podium.reports.blocks import Page


def render(page: Page, drawn: Mapping[str, bytes]) -> str:
    """The page with everything in it.

    Args:
        drawn: the PNG of each chart, by its name.
    """
    # The template forbids the browser to load anything, whatever a name has smuggled in.
    environment = Environment(
        loader=PackageLoader("podium.reports", "static"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    images = {name: data_uri(data, "png") for name, data in drawn.items()}
    return environment.get_template("page.html").render(page=page, images=images)


def data_uri(data: bytes, kind: str) -> str:
    """Bytes of an image as an address that holds them itself."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
