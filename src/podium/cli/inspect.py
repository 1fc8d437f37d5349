"""Commands that look at runs, and at images through them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from podium.cli.options import Json, Run, Yes, complete_run, show
from podium.text import printable, single_line


def classify(
    run: Run,
    images: Annotated[list[str], typer.Argument(help="Files, folders, http(s) addresses.")],
    csv: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write a CSV there; - prints it.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write JSON there; - prints it.")
    ] = None,
) -> None:
    """Classify images from anywhere; those unlike the training images are out-of-distribution.

    Exit code 1 if an image could not be read; the others are classified all the same.
    """
    from podium.files.atomic_write import require_writable
    from podium.system import start_backend

    for path in {csv, json} - {None, Path("-")}:
        require_writable(path.parent)
    start_backend()
    from podium.predictions.classify import classify
    from podium.runs.find_run import find_run

    predictions = classify(find_run(run), images)
    predictions.write(csv, json)
    problems = [image.problem for image in predictions.images if image.problem]
    for problem in problems:
        print(f"podium: {single_line(problem)}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)


def serve(
    run: Run,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    folds: Annotated[int, typer.Option(min=1, help="Networks to average, slower by each.")] = 1,
    examples: Annotated[int, typer.Option(min=0, help="Images on the page to try.")] = 8,
    browser: Annotated[bool, typer.Option("--open", help="Open the page.")] = False,
) -> None:
    """Serve a run: a page to drop images on, and an HTTP API (/docs)."""
    from podium.serving.serve import serve

    serve(run, host, port, folds, examples, browser)


def export(
    run: Run,
    to: Annotated[str, typer.Option(help="keras, saved_model, onnx or litert.")],
    folds: Annotated[
        str | None, typer.Option(help="A fold's number, or all: their mean as one graph.")
    ] = None,
    quantize: Annotated[
        bool, typer.Option("--quantize", help="litert: 8-bit integers; says what it costs.")
    ] = False,
) -> None:
    """Write a run's network as a file that opens without Podium, checked against the run."""
    from podium.serving.export.start import start_export

    print(printable(f"\n{start_export(run, to, folds, quantize)}"))


def gallery(
    run: Run,
    to: Annotated[Path | None, typer.Option(help="By default weights/RUN/gallery.png.")] = None,
    columns: Annotated[int, typer.Option(min=1, max=20, help="Images in a row.")] = 6,
) -> None:
    """Draw the best, middling, worst and misclassified images of a run, with their boxes."""
    from podium.reports.gallery import gallery
    from podium.runs.find_run import find_run

    print(printable(gallery(find_run(run), to, columns)))


def report(
    runs: Annotated[
        list[str],
        typer.Argument(help="A run or blend; several: side by side.", autocompletion=complete_run),
    ],
    to: Annotated[Path | None, typer.Option(help="By default weights/RUN/report.html.")] = None,
) -> None:
    """Write a page about a run: scores, curves, mistakes, Grad-CAM."""
    from podium.reports.report import report

    print(printable(f"\n{report(runs, to)}"))


def track(
    runs: Annotated[list[str], typer.Argument(help="Names or paths of runs, or of blends.")],
    to: Annotated[str, typer.Option(help="mlflow, wandb or tensorboard.")],
) -> None:
    """Show runs to a tool that compares experiments: recipe, epochs, scores and files; offline."""
    from podium.reports.track import track

    for line in track(runs, to):
        print(printable(line))


def diff(run: Run, other: Run) -> None:
    """Tell two runs apart: recipe, commit, data, and scores with the paired gain."""
    from podium.reports.diff import diff

    print(printable(diff(run, other)))


def runs(
    competition: Annotated[str | None, typer.Argument(help="Only its runs.")] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Ask Kaggle for the scores of submissions first.")
    ] = False,
    json: Json = False,
) -> None:
    """List the runs of weights/: folds, scores here and on Kaggle, minutes, blends with them."""
    from podium.reports.listing import list_runs

    show(lambda: list_runs(competition, fetch), json)


def rm(run: Run, yes: Yes = False) -> None:
    """Delete a run; says first how large it is and which blends are made of it."""
    from podium.runs import prune
    from podium.runs.find_run import find_run

    folder = find_run(run)
    if used := prune.users(folder):
        print(printable(f"used by {', '.join(used)}: without it they cannot be made again"))
    print(printable(f"{prune.megabytes(prune.size_of(folder.path))}  {folder.path}"))
    if not yes:
        typer.confirm("Delete this run? (--yes does not ask)", abort=True)
    prune.delete_run(folder)


def prune(yes: Yes = False) -> None:
    """Delete what can be made again: checkpoints, caches, builds, broken downloads."""
    from podium.runs.prune import delete, describe, find_leftovers

    found = find_leftovers()
    print(printable(describe(found)))
    if found:
        if not yes:
            typer.confirm("Delete all of it? (--yes does not ask)", abort=True)
        for reason in delete(found):
            print(single_line(f"podium: {reason}"), file=sys.stderr)


COMMANDS = (classify, serve, export, gallery, report, track, runs, diff, rm, prune)
