"""A kernel's output becomes a run of weights/, as if it had run here; several become one."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from podium import paths
from podium.kaggle.client import KaggleError
from podium.kaggle.follow import KaggleKernel
from podium.kaggle.output import fetch_output
from podium.predictions.blend import adopt_blend
from podium.predictions.blend_members import read_member
from podium.predictions.combine import RunResult, assemble, write_submission
from podium.predictions.score import Score
from podium.reports.report import report_after_training
from podium.runs.merge import merge_run
from podium.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi


@dataclass(frozen=True)
class CollectedBlend:
    """A blend that was made on Kaggle, from runs that need not be here."""

    folder: RunFolder
    submission: Path

    def __str__(self) -> str:
        score = Score.from_dict(self.folder.read_score()["score"])
        return (
            f"run         {self.folder.path}\n"
            f"score       out-of-fold {score}\n"
            f"submission  {self.submission}"
        )


def collect(
    api: "KaggleApi",
    kernel: KaggleKernel,
    run: str,
    fresh: bool = False,
    sources: str | None = None,
) -> RunFolder:
    """Fetch what a kernel left and add it to the run in weights/.

    Args:
        run: the name of the run, there and here.
        fresh: replace what is here already and differs.
        sources: the hash of what was pushed, where that is known: an output of other sources is
            that of an earlier version of the kernel.

    Raises:
        KaggleError: no output, or not this run's.
        RunError: weights/ has another run of this name. The output stays in build/.
    """
    output = kernel.folder / "output"
    shutil.rmtree(output, ignore_errors=True)
    fetch_output(api, kernel.ref, output)
    part = RunFolder(output / "weights" / run)
    if not part.exists:
        raise KaggleError(
            f"{kernel.ref} left no run {run}; what it did leave is in {output}, and its log on "
            "Kaggle says more"
        )
    came = part.read_run().get("sources")
    if sources is not None and came != sources:
        raise KaggleError(
            f"the output of {kernel.ref} was made from the sources {str(came)[:12]}, pushed were "
            f"{sources[:12]}: it is an earlier version's. Wait, then `podium collect`"
        )
    into = RunFolder(paths.runs() / run)
    if part.read_blended():
        adopt_blend(part, into, fresh)
    else:
        merge_run(part, into, fresh)
    shutil.rmtree(output)
    return into


def write_collected(folder: RunFolder) -> RunResult | CollectedBlend:
    """Combine what is in weights/ of a run by now, and write its submission."""
    if not folder.read_blended():
        outcome = assemble(folder)
        return replace(outcome, report=report_after_training(folder))
    member = read_member(str(folder.path))
    submission = write_submission(folder, member.competition)
    report_after_training(folder)
    return CollectedBlend(folder, submission)
