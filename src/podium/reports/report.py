"""`podium report`: all that is known of a run, or of several, in one page that opens offline."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from podium.competitions import MissingData
from podium.files.atomic_write import atomic_write
from podium.files.image_io import UnreadableImage
from podium.predictions.result import RunResult
from podium.reports.blocks import Page, Section, Words
from podium.reports.figures import png
from podium.reports.gallery import choose_rows, draw_gallery
from podium.reports.run_data import RunData, read_run_data
from podium.reports.sections import comparison, overview
from podium.reports.sections.classes import calibration_section, classes_section
from podium.reports.sections.curves import learning_section
from podium.reports.sections.ensembling import blend_section, soup_section, views_section
from podium.reports.sections.grad_cam import seen_sections
from podium.reports.sections.mistakes import images_section
from podium.reports.thumbnails import data_uri
from podium.runs.find_run import find_run
from podium.runs.run_folder import RunFolder

if TYPE_CHECKING:  # takes seconds
    from podium.training.fold_runner import FoldRunner

NAME = "report.html"  # in the folder of the run
DPI = 150


@dataclass(frozen=True)
class Report:
    """A report as it was written."""

    path: Path
    figures: list[Path]
    left_out: list[str]

    def __str__(self) -> str:
        size = self.path.stat().st_size / 1e6
        lines = [f"report      {self.path} ({size:.1f} MB)"]
        if self.figures:
            lines.append(f"figures     {self.figures[0].parent} ({len(self.figures)} PNG)")
        return "\n".join([*lines, *(f"note        {text}" for text in self.left_out)])


def report(runs: Sequence[str], to: Path | None = None) -> Report:
    """Write the report of a run or a blend, or one that sets several side by side.

    Args:
        to: an HTML file; by default report.html in the run's folder, or report-with-….html in that
            of the first run.

    Raises:
        RunError: there is no such run, or no fold of it is trained.
        ValueError: runs of several competitions, or `to` is no HTML file.
    """
    if to and (to.is_dir() or to.suffix.lower() not in (".html", ".htm")):
        raise ValueError(f"--to {to}: give the name of a file that ends in .html")
    folders = [find_run(run) for run in runs]
    if len(folders) == 1:
        one = read_run_data(folders[0])
        return _write(_page(one, seen_sections(one)), to or folders[0].path / NAME)
    several = [read_run_data(folder) for folder in folders]
    comparison.check_comparable(several)
    names, competition = [folder.name for folder in folders], several[0].competition.name
    side_by_side = Page(
        f"{', '.join(names)}, side by side",
        "; ".join(f"{one.name}: {one.score}" for one in several),
        f"Runs of {competition}; what is better is judged image by image.",
        [section(several) for section in comparison.SECTIONS],
    )
    return _write(side_by_side, to or folders[0].path / f"report-with-{'-'.join(names[1:])}.html")


def with_report(result: RunResult) -> RunResult:
    """The result of a training with its report; that of a run that was finished stays as it is."""
    path: Path | None = result.folder.path / NAME
    if result.runner or not path.is_file():
        path = report_after_training(result.folder, result.runner)
    return replace(result, report=path)


def report_after_training(folder: RunFolder, fold_run: "FoldRunner | None" = None) -> Path | None:
    """The report at the end of a training or of a collection, which it must not spoil.

    Args:
        fold_run: that has just trained the run. Without it no network is opened: the page says
            which command adds what needs one.

    Returns:
        Where it is, or None where it failed, which is said in a line.
    """
    try:
        one = read_run_data(folder)
        text = f"Left out: no network was opened; `podium report {folder.name}` adds them."
        seen = [Section("As the network sees them, and Grad-CAM", [Words(text, left_out=True)])]
        if fold_run:
            seen = seen_sections(one, fold_run)
        return _write(_page(one, seen), folder.path / NAME).path
    except Exception as error:  # a bug in a figure costs no run
        if os.environ.get("PODIUM_DEBUG"):
            raise
        words = " ".join(str(error).split())
        told = f"podium: no report of {folder.name} ({type(error).__name__}: {words}); "
        print(f"{told}`podium report {folder.name}` tries again", file=sys.stderr)
        return None


def figures_of(folder: RunFolder) -> Iterator[Figure]:
    """The figures of a report and its gallery, to be shown in a notebook."""
    one = read_run_data(folder)
    for chart in _page(one, []).charts:
        yield chart.figure
    try:
        gallery = draw_gallery(one, choose_rows(one))
    except (MissingData, UnreadableImage) as error:  # trained on another machine
        print(f"no gallery: {error}")
    else:
        yield gallery


def _page(one: RunData, seen: list[Section]) -> Page:
    """The sections that a run or a blend has.

    Args:
        seen: those that need its network.
    """
    sections = (
        overview.score_section(one),
        images_section(one),
        overview.recipe_section(one),
        overview.data_section(one),
        overview.cost_section(one),
        blend_section(one),
        soup_section(one),
        learning_section(one),
        classes_section(one),
        calibration_section(one),
        *seen,
        views_section(one),
    )
    shown = [section for section in sections if section]
    return Page(f"Report of {one.name}", str(one.score), overview.about(one), shown)


def _write(made: Page, path: Path) -> Report:
    """Write the page, and its figures into a folder of the same name beside it."""
    folder = path.with_suffix("")
    drawn = {chart.name: png(chart.figure, DPI) for chart in made.charts}
    for name, data in drawn.items():
        with atomic_write(folder / f"{name}.png") as part:
            part.write_bytes(data)
    with atomic_write(path) as part:
        part.write_text(render(made, drawn), encoding="utf-8")
    left_out = [
        f"{section.title}: {block.text}"
        for section in made.sections
        for block in section.blocks
        if isinstance(block, Words) and block.left_out
    ]
    return Report(path, [folder / f"{name}.png" for name in drawn], left_out)


def render(page: Page, drawn: Mapping[str, bytes]) -> str:
    """A report as one HTML file: it loads nothing, and whatever it is told is escaped.

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
