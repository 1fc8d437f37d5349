"""The commands and their help, nothing else; what takes seconds to import is imported late."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from podium.stopping import INTERRUPTED, Stopping

app = typer.Typer(
    help="Kaggle image classification, from input/ to a submission that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Run = Annotated[str, typer.Argument(help="Name or path of a run folder of weights/.")]
Entry = Annotated[str, typer.Argument(help="An entry of kernels/: see podium entries.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE of the recipe, e.g. image_size=224; repeatable."),
]
Folds = Annotated[list[int] | None, typer.Option("--fold", help="Only this fold; repeatable.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Replace what is here already.")]
Wait = Annotated[bool, typer.Option("--wait", help="Follow it to its end.")]
Poll = Annotated[float, typer.Option(min=0.1, help="Seconds between two questions to Kaggle.")]


@app.command()
def train(
    entry: Entry,
    fold: Folds = None,
    override: Overrides = None,
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
    pictures: Annotated[
        list[str], typer.Argument(help="Files, folders and http(s) addresses, of any format.")
    ],
    csv: Annotated[Path | None, typer.Option(help="Write a CSV there; - prints it.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write JSON there; - prints it.")] = None,
) -> None:
    """Say what is on pictures from anywhere, and which are unlike anything in training.

    Exit code 1 if a picture could not be read; the others are answered for all the same.
    """
    from podium.any_picture.answers import check_outputs
    from podium.machine import import_tensorflow_quietly

    check_outputs(csv, json)
    import_tensorflow_quietly()
    from podium.classify import answer
    from podium.run import find_run

    answers = answer(find_run(run), pictures)
    answers.write(csv, json)
    for problem in answers.problems:
        print(f"podium: {problem}", file=sys.stderr)
    if answers.problems:
        raise typer.Exit(1)


@app.command()
def serve(
    run: Annotated[
        str | None, typer.Argument(help="Name or path of a run folder of weights/.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    folds: Annotated[
        int, typer.Option(min=1, help="Networks to average; two take twice as long as one.")
    ] = 1,
    examples: Annotated[int, typer.Option(min=0, help="Pictures on the page to try.")] = 8,
    megabytes: Annotated[float, typer.Option(min=0.001, help="Of a picture, at the most.")] = 20,
    megapixels: Annotated[float, typer.Option(min=0.001, help="Of a picture, at the most.")] = 60,
    seconds: Annotated[float, typer.Option(min=0.1, help="To send, and to answer.")] = 20,
    waiting: Annotated[int, typer.Option(min=1, help="Requests at a time, at the most.")] = 64,
    browser: Annotated[bool, typer.Option("--open", help="Open the page.")] = False,
) -> None:
    """Serve a run: a page for one's own pictures, and the same as an HTTP API (/docs)."""
    from podium.web.packages import require_web_packages

    require_web_packages()
    from podium.web.limits import Limits
    from podium.web.serve import serve

    limits = Limits(megabytes, round(megapixels * 1e6), seconds=seconds, waiting=waiting)
    serve(run, host, port, folds, examples, limits, browser)


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


@app.command()
def blend(
    runs: Annotated[
        list[str], typer.Argument(help="Runs of weights/, or one entry that is an ensemble.")
    ],
    to: Annotated[Path | None, typer.Option(help="Path of the submission.")] = None,
    common: Annotated[
        bool, typer.Option("--common", help="Judge on what all runs have out of fold.")
    ] = False,
) -> None:
    """Blend runs in the way that is best out of fold; says what it gains, and how sure that is."""
    from podium.blending.blend import blend

    print(blend(runs, to, common))


@app.command()
def runs(
    competition: Annotated[str | None, typer.Argument(help="Only its runs.")] = None,
) -> None:
    """List the runs of weights/: folds, score, minutes, and the blends that use them."""
    from podium.overview import describe_runs

    print(describe_runs(competition))


@app.command()
def gallery(
    run: Run,
    to: Annotated[
        Path | None, typer.Option(help="PNG; weights/RUN/gallery.png if not given.")
    ] = None,
    columns: Annotated[int, typer.Option(min=1, max=20, help="Pictures in a row.")] = 6,
) -> None:
    """Draw the best, middling, worst and misclassified pictures of a run, with their boxes."""
    from podium.reports.gallery import gallery
    from podium.runs import find_run

    print(gallery(find_run(run), to, columns))


@app.command()
def report(
    runs: Annotated[
        list[str], typer.Argument(help="A run or a blend; several are set side by side.")
    ],
    to: Annotated[
        Path | None, typer.Option(help="HTML; weights/RUN/report.html if not given.")
    ] = None,
) -> None:
    """Write all that is known of a run into one page: scores, curves, mistakes, Grad-CAM."""
    from podium.reports.report import report

    print(f"\n{report(runs, to)}")


@app.command()
def soup(
    runs: Annotated[
        list[str], typer.Argument(help="A run trained with checkpoints, or several of one network.")
    ],
    run: Annotated[str | None, typer.Option(help="Name of the soup's run folder.")] = None,
    fresh: Fresh = False,
) -> None:
    """Average checkpoints of runs to one network, as far as that is no worse out of fold."""
    from podium.soups.soup import soup

    print(f"\n{soup(runs, run, fresh)}")


@app.command()
def compare(
    entry: Entry,
    tries: Annotated[
        list[str] | None,
        typer.Option("--try", help="KEY=A,B,… of the recipe; with several, each combination."),
    ] = None,
    fold: Folds = None,
    override: Overrides = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only so many combinations, drawn at random.")
    ] = None,
) -> None:
    """Score an entry with different recipes side by side; writes docs/experiments.md.

    Goes on where it was stopped, and trains no combination twice. Exit code 1 if one failed.
    """
    from podium.laboratory.compare import compare

    comparison = compare(entry, tries or [], fold or [], override or [], sample)
    print(f"\n{comparison}")
    if comparison.failed:
        raise typer.Exit(1)


@app.command("find-lr")
def find_lr(
    entry: Entry,
    fold: Annotated[int, typer.Option(help="Whose pictures train.")] = 0,
    stage: Annotated[
        int | None, typer.Option(min=1, help="By default the last; those before are trained.")
    ] = None,
    steps: Annotated[int, typer.Option(min=10, help="Batches, each at a higher rate.")] = 100,
    override: Overrides = None,
) -> None:
    """Try rising learning rates in a stage of an entry, and draw the loss by rate."""
    from podium.laboratory.find_rate import find_rate

    print(f"\n{find_rate(entry, override or [], fold, stage, steps)}")


@app.command()
def tune(
    entry: Entry,
    trials: Annotated[
        int, typer.Option(min=1, help="In all, those of earlier calls and other processes too.")
    ] = 40,
    hours: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="No trial begins that would take longer, going by the longest so far."
        ),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            help="KEY=LOW:HIGH or KEY=LOW:HIGH:log; in place of learning rates, weight decay, "
            "dropout, label smoothing and the augmentation that the entry uses."
        ),
    ] = None,
    fold: Folds = None,
    override: Overrides = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Database that several can share; weights/studies.db if not given."),
    ] = None,
) -> None:
    """Search ranges of an entry's numbers with Optuna, on fold 0 if no other is given."""
    from podium.laboratory.tune import tune

    words = trials, hours, search or [], fold or [], override or [], storage
    print(f"\n{tune(entry, *words)}")


@app.command()
def build(
    entries: Annotated[
        list[str] | None, typer.Argument(help="By default all that Kaggle can run.")
    ] = None,
    override: Overrides = None,
    fold: Annotated[int | None, typer.Option(help="A kernel that trains only this fold.")] = None,
    owner: Annotated[str | None, typer.Option(help="Kaggle user, if not yours.")] = None,
) -> None:
    """Build entries into build/: what `kaggle kernels push -p build/ENTRY` takes as it is."""
    from podium.kaggle.build import build_entries

    for built in build_entries(entries or [], owner, override or [], fold):
        print(f"{built}\n", flush=True)


@app.command()
def push(
    entry: Entry,
    override: Overrides = None,
    fold: Folds = None,
    each_fold: Annotated[
        bool, typer.Option("--each-fold", help="A kernel for each fold that is not here yet.")
    ] = False,
    wait: Wait = False,
    fresh: Fresh = False,
    at_once: Annotated[
        int | None, typer.Option(min=1, help="Kernels that may run at the same time.")
    ] = None,
    poll: Poll = 10.0,
) -> None:
    """Build an entry, push it to Kaggle, and with --wait bring its run here."""
    from podium.kaggle.kernels import push_entry

    words = override or [], fold or [], each_fold, wait, fresh, at_once, poll
    outcome = push_entry(entry, *words)
    if outcome:
        print(f"\n{outcome}")


@app.command()
def collect(
    entry: Entry,
    override: Overrides = None,
    fold: Folds = None,
    each_fold: Annotated[
        bool, typer.Option("--each-fold", help="From the kernels of all folds.")
    ] = False,
    wait: Wait = False,
    fresh: Fresh = False,
    poll: Poll = 10.0,
) -> None:
    """Bring what a pushed entry left on Kaggle into weights/ and submissions/."""
    from podium.kaggle.kernels import collect_entry

    print(f"\n{collect_entry(entry, override or [], fold or [], each_fold, wait, fresh, poll)}")


@app.command()
def download(
    competition: Annotated[str, typer.Argument(help="Its name, e.g. cars.")],
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Again; what is there stays until then.")
    ] = False,
) -> None:
    """Bring a competition's files from Kaggle into input/; goes on where it broke off."""
    from podium.competitions import get_competition
    from podium.kaggle.download import download

    download(get_competition(competition), fresh)


@app.command()
def submit(
    competition: Annotated[str, typer.Argument(help="Its name, e.g. cars.")],
    csv: Annotated[Path, typer.Argument(help="The submission.")],
    message: Annotated[str, typer.Option("--message", "-m", help="For your own memory.")],
    wait: Annotated[bool, typer.Option("--wait", help="For the public score.")] = False,
    poll: Poll = 5.0,
) -> None:
    """Check a submission and send it to Kaggle."""
    from podium.competitions import get_competition
    from podium.kaggle.submit import submit

    print(submit(get_competition(competition), csv, message, wait, poll))


def main() -> None:
    """Run a command; a user's mistake is one line and exit code 1 (PODIUM_DEBUG: a traceback)."""
    with Stopping() as stopping:
        try:
            app()
        except SystemExit as end:
            if end.code != INTERRUPTED:
                raise
            print(f"\npodium: {stopping}", file=sys.stderr)
            sys.exit(stopping.exit_code)
        except (ValueError, OSError) as error:
            if os.environ.get("PODIUM_DEBUG"):
                raise
            print(f"podium: {error}", file=sys.stderr)
            sys.exit(1)
