"""The commands and their help, nothing else; what takes seconds to import is imported late."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Kaggle image classification, from input/ to a submission that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Run = Annotated[str, typer.Argument(help="Name or path of a run folder of weights/.")]


@app.command()
def train(
    entry: Annotated[str, typer.Argument(help="An entry of kernels/: see podium entries.")],
    fold: Annotated[list[int] | None, typer.Option(help="Only this fold; repeatable.")] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE of the recipe, e.g. image_size=224; repeatable."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Training pictures at the most.")] = None,
    run: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin again, if there is a run.")] = False,
) -> None:
    """Train an entry to its submission; the same command goes on with a killed run."""
    from podium.run import train

    overrides = [*(override or []), *([f"limit={limit}"] if limit is not None else [])]
    print(f"\n{train(entry, overrides, fold or [], run, fresh)}")


@app.command()
def predict(
    run: Run,
    views: Annotated[
        int | None, typer.Option(min=1, max=10, help="Views of each picture to average.")
    ] = None,
) -> None:
    """Predict the test pictures of a run again, and write its submission."""
    from podium.run import predict

    folder, submission = predict(run, views)
    print(f"\nrun         {folder.path}")
    print(f"submission  {submission}")


@app.command()
def classify(
    run: Run,
    files: Annotated[list[Path], typer.Argument(help="Pictures of any size and format.")],
) -> None:
    """Say what is on pictures from anywhere: class and probability, most likely first."""
    from podium.machine import import_tensorflow_quietly

    import_tensorflow_quietly()
    from podium.classify import classify
    from podium.run import find_run

    for file, probabilities in classify(find_run(run), files).iterrows():
        likely = probabilities.sort_values(ascending=False)[:3]
        print(f"{file}: " + ", ".join(f"{name} {value:.3f}" for name, value in likely.items()))


@app.command()
def check(
    competition: Annotated[str, typer.Argument(help="Its name, e.g. cars.")],
) -> None:
    """Read every picture; say what is broken, missing or doubled. Exit code 1 if some are."""
    from podium.check import check_competition
    from podium.competitions import get_competition

    report = check_competition(get_competition(competition))
    print(report)
    if not report.clean:
        raise typer.Exit(1)


@app.command()
def sample(
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Draw it again.")] = False,
    seed: Annotated[int, typer.Option(help="Other pictures with another seed.")] = 0,
) -> None:
    """Draw the sample competition into input/."""
    from podium.competitions.sample import Sample, draw_sample_competition

    folder, drawn = draw_sample_competition(overwrite, seed)
    print(f"{folder} {'drawn' if drawn else 'is there already'}: podium train {Sample.name}-b0")


@app.command()
def entries() -> None:
    """List the entries of kernels/: competition, backbone, machine, and what is missing here."""
    from podium.entries import describe_entries

    print(describe_entries())


@app.command()
def score(
    submission: Annotated[Path, typer.Argument(help="A submission's CSV.")],
    truth: Annotated[Path, typer.Argument(help="A CSV of the same form with the true answers.")],
) -> None:
    """Score a submission of classes against the truth, where one has it."""
    from podium.predictions.score import score_files

    print(f"score       {score_files(submission, truth)}")


def main() -> None:
    """Run a command; a user's mistake is one line and exit code 1 (PODIUM_DEBUG: a traceback)."""
    try:
        app()
    except KeyboardInterrupt:
        print("\npodium: interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError) as error:
        if os.environ.get("PODIUM_DEBUG"):
            raise
        print(f"podium: {error}", file=sys.stderr)
        sys.exit(1)
