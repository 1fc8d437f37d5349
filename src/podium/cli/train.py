"""Commands on the way from images to a submission."""

from pathlib import Path
from typing import Annotated

import typer

from podium.cli.options import (
    Competition,
    Entry,
    Folds,
    Fresh,
    GPUsPerFold,
    Json,
    OptionalEntry,
    Overrides,
    Ray,
    Run,
    ShipInput,
    complete_run,
    show,
)
from podium.text import printable


def train(
    entry: Entry,
    fold: Folds = None,
    override: Overrides = None,
    limit: Annotated[int | None, typer.Option(help="Use only so many training images.")] = None,
    run: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    fresh: Fresh = False,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Time for all of it: epochs are scaled to fit.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="quick, good or best: minutes, an hour, a night.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Time some steps of each stage; train nothing.")
    ] = False,
    ray: Ray = None,
    ray_ship_input: ShipInput = False,
    gpus_per_fold: GPUsPerFold = 1,
) -> None:
    """Train an entry to its submission; the same command goes on with a killed run."""
    from podium.reports.report import with_report
    from podium.training.cluster.driver import cluster_at
    from podium.training.dry_run import dry_run as reckon
    from podium.training.train import train

    overrides = [*(override or []), *([f"limit={limit}"] if limit is not None else [])]
    if dry_run:
        print(f"\n{reckon(entry, overrides, fold or [], minutes, preset)}")
        return
    cluster = cluster_at(ray, ray_ship_input, gpus_per_fold)
    result = train(entry, overrides, fold or [], run, fresh, minutes, preset, cluster)
    print(printable(f"\n{with_report(result)}"))


def predict(
    run: Run,
    views: Annotated[int | None, typer.Option(min=1, max=10, help="Views to average.")] = None,
    ray: Ray = None,
    ray_ship_input: ShipInput = False,
) -> None:
    """Predict the test images of a run again, and write its submission."""
    from podium.training.cluster.driver import cluster_at
    from podium.training.train import predict

    folder, submission = predict(run, views, cluster_at(ray, ray_ship_input))
    print(f"\nrun         {folder.path}")
    print(f"submission  {submission}")


def sample(
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Draw it again.")] = False,
    seed: Annotated[int, typer.Option(help="Other images with another seed.")] = 0,
) -> None:
    """Draw the sample competition into input/."""
    from podium.competitions.sample import Sample, draw_sample_competition

    folder, drawn = draw_sample_competition(overwrite, seed)
    print(f"{folder} {'drawn' if drawn else 'is there already'}: podium train {Sample.name}-b0")


def new(
    name: Annotated[str, typer.Argument(help="Of the competition: entries are NAME-b0, NAME-b6.")],
    data: Annotated[Path | None, typer.Option(help="The folder of the images.")] = None,
    kaggle: Annotated[
        str | None, typer.Option(help="Or a competition's slug, or OWNER/SLUG of a dataset.")
    ] = None,
    csv: Annotated[str | None, typer.Option(help="Labels, where no folder is a class.")] = None,
    id: Annotated[str | None, typer.Option(help="Its column of file names.")] = None,
    label: Annotated[str | None, typer.Option(help="Of labels; one-hot ones by commas.")] = None,
    test: Annotated[str | None, typer.Option(help="The folder of images to predict.")] = None,
    sample: Annotated[str | None, typer.Option(help="The sample submission.")] = None,
    group: Annotated[str | None, typer.Option(help="Column of what no split divides.")] = None,
    fold: Annotated[str | None, typer.Option(help="Column of folds, taken as they are.")] = None,
    task: Annotated[str | None, typer.Option(help="classes, labels or grades.")] = None,
    metric: Annotated[str | None, typer.Option(help="E.g. macro-f1: docs/your-data.md.")] = None,
) -> None:
    """Look at a dataset of your own, and write two entries for it: no code is needed."""
    from podium.competitions.inspection import Choices
    from podium.kaggle.new_entry import new_entries

    choices = Choices(csv, id, label, group, fold, test, sample, task, metric)
    new = new_entries(name, data, choices, kaggle)
    print(printable(f"{new}\nchecked"), flush=True)
    try:
        check(name)
    finally:
        print(printable(new.next_commands))


def check(competition: Competition, json: Json = False) -> None:
    """Read every image; list what is broken, missing or doubled. Exit code 1 if one is broken."""
    from podium.competitions import get_competition
    from podium.data.check import check_competition

    report = show(lambda: check_competition(get_competition(competition)), json)
    if report.broken:  # with near-copies a training goes on
        raise typer.Exit(1)


def entries(json: Json = False) -> None:
    """List the entries of kernels/: competition, backbone, machine, and what is missing here."""
    from podium.reports.listing import list_entries

    show(list_entries, json)


def recipe(entry: OptionalEntry = None) -> None:
    """List every key of a recipe with its meaning, bounds and default, and an entry's values."""
    from podium.recipes.entries import get_entry
    from podium.recipes.keys import describe_keys

    print(printable(describe_keys(get_entry(entry).recipe() if entry else None)))


def score(
    submission: Annotated[Path, typer.Argument(help="A submission's CSV.")],
    truth: Annotated[Path, typer.Argument(help="A CSV of the same form with the true answers.")],
    json: Json = False,
) -> None:
    """Score a submission of classes against the truth, where one has it."""
    from podium.predictions.score import score_files

    show(lambda: score_files(submission, truth), json, "score       ")


def blend(
    runs: Annotated[
        list[str],
        typer.Argument(help="Runs, or an entry that is an ensemble.", autocompletion=complete_run),
    ],
    to: Annotated[Path | None, typer.Option(help="Path of the submission.")] = None,
    common: Annotated[bool, typer.Option("--common", help="Judge on images all have.")] = False,
    json: Json = False,
) -> None:
    """Blend runs in the way that is best out of fold; prints the gain and its interval."""
    from podium.predictions.blend import blend

    show(lambda: blend(runs, to, common), json)


def soup(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="A run with checkpoints, or several runs.", autocompletion=complete_run
        ),
    ],
    run: Annotated[str | None, typer.Option(help="Name of the soup's run folder.")] = None,
    fresh: Fresh = False,
) -> None:
    """Average checkpoints of runs to one network, as far as that is no worse out of fold."""
    from podium.training.soup import soup

    print(printable(f"\n{soup(runs, run, fresh)}"))


COMMANDS = (new, train, predict, sample, check, entries, recipe, score)
ENSEMBLE_COMMANDS = (blend, soup)
