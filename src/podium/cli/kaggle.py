"""Commands that talk to Kaggle or build for it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from podium.cli.options import Entry, Folds, Fresh, Overrides, Poll, Wait
from podium.kaggle.machines import MACHINES
from podium.text import printable

if TYPE_CHECKING:
    from podium.kaggle.kernels import CollectedBlend
    from podium.predictions.result import RunResult

On = Annotated[
    Literal[tuple(MACHINES)] | None,
    typer.Option("--on", help="The machine, if not that of the entry's kernel-metadata.json."),
]

Predict = Annotated[
    bool, typer.Option("--predict", help="A kernel that predicts hidden images, by trained runs.")
]
Trained = Annotated[
    str | None, typer.Option("--run", help="With --predict: the run, if not the entry's own.")
]


def build(
    entries: Annotated[
        list[str] | None, typer.Argument(help="By default all that Kaggle can run.")
    ] = None,
    override: Overrides = None,
    fold: Annotated[int | None, typer.Option(help="A kernel that trains only this fold.")] = None,
    owner: Annotated[str | None, typer.Option(help="Kaggle user, if not yours.")] = None,
    on: On = None,
    predict: Predict = False,
    hours: Annotated[float | None, typer.Option(min=0.1, help="As push has it.")] = None,
    run: Trained = None,
) -> None:
    """Build entries into build/: what `kaggle kernels push -p build/ENTRY` takes as it is."""
    from podium.kaggle.build import build_entries

    wanted = {"overrides": override or [], "fold": fold, "hours": hours, "on": on}
    wanted |= {"predicts": predict, "other_run": run}
    for built in build_entries(entries or [], owner, **wanted):
        print(f"{built}\n", flush=True)


def push(
    entry: Entry,
    override: Overrides = None,
    fold: Folds = None,
    each_fold: Annotated[
        bool, typer.Option("--each-fold", help="A kernel for each fold that is not here yet.")
    ] = False,
    wait: Wait = False,
    fresh: Fresh = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what its last version left unfinished.")
    ] = False,
    hours: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="End then, to be resumed: no epochs are left out. With --predict, the limit.",
        ),
    ] = None,
    at_once: Annotated[
        int | None, typer.Option(min=1, help="Kernels that may run at the same time.")
    ] = None,
    on: On = None,
    predict: Predict = False,
    trained: Trained = None,
    poll: Poll = 10.0,
) -> None:
    """Build an entry, push it to Kaggle, and with --wait bring its run here."""
    from podium.kaggle.code_competition import push_predict
    from podium.kaggle.kernel import Kernel
    from podium.kaggle.kernels import RunOnKaggle, push_entry

    kernel = Kernel(entry, override or [], None, hours, on, predict, trained)
    if predict:
        push_predict(kernel, wait, poll)
        return
    run = RunOnKaggle(kernel, fold or [], each_fold)
    outcome = push_entry(run, wait, fresh, resume, at_once, poll)
    if outcome:
        _print_with_report(outcome)


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
    from podium.kaggle.kernel import Kernel
    from podium.kaggle.kernels import RunOnKaggle, collect_entry

    run = RunOnKaggle(Kernel(entry, override or []), fold or [], each_fold)
    _print_with_report(collect_entry(run, wait, fresh, poll))


def _print_with_report(outcome: "RunResult | CollectedBlend") -> None:
    from podium.reports.report import report_after_training

    report = report_after_training(outcome.folder)
    print(printable(f"\n{outcome}"))
    if report:
        print(f"report      {report}")


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


def submit(
    competition: Annotated[
        str, typer.Argument(help="Its name, e.g. cars; with --kernel the name of an entry.")
    ],
    csv: Annotated[Path | None, typer.Argument(help="The submission.")] = None,
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="For your own memory.")
    ] = None,
    kernel: Annotated[
        bool, typer.Option("--kernel", help="Of a code competition: what push --predict pushed.")
    ] = False,
    override: Overrides = None,
    run: Trained = None,
    wait: Annotated[bool, typer.Option("--wait", help="For the public score.")] = False,
    poll: Poll = 5.0,
) -> None:
    """Check a submission and send it to Kaggle, or submit a kernel that predicts."""
    if kernel:
        from podium.kaggle.code_competition import submit_kernel
        from podium.kaggle.kernel import Kernel

        predicting = Kernel(competition, override or [], predicts=True, other_run=run)
        print(printable(submit_kernel(predicting, message, wait, poll)))
        return
    if csv is None or message is None:
        raise typer.BadParameter("a CSV and --message are needed, or else --kernel")
    from podium.competitions import get_competition
    from podium.kaggle.submit import submit

    print(printable(submit(get_competition(competition), csv, message, wait, poll)))


def upload(
    run: Annotated[
        str | None, typer.Argument(help="Name or path of a run folder of weights/.")
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option("--pretrained", help="Or an entry, for its pretrained weights.")
    ] = None,
    poll: Poll = 5.0,
) -> None:
    """Make a private dataset of a run, or of pretrained weights, and attach it to its entries."""
    from podium.kaggle.upload import upload_pretrained, upload_run

    if (run is None) == (pretrained is None):
        raise typer.BadParameter("name a run, or --pretrained and an entry")
    uploaded = upload_run(run, poll) if run else upload_pretrained(pretrained, poll)
    print(printable(uploaded))


COMMANDS = (build, push, collect, download, submit, upload)
