"""A kernel's output becomes a run of weights/, as if it had run here; several become one."""

import shutil
from typing import TYPE_CHECKING

from podium import places
from podium.kaggle.client import KaggleError
from podium.kaggle.output import fetch_output
from podium.kaggle.push import Kernel
from podium.merge import merge_run
from podium.run_folder import RunFolder

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi


def collect(
    api: "KaggleApi", kernel: Kernel, run: str, fresh: bool = False, sources: str | None = None
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
    into = RunFolder(places.runs() / run)
    merge_run(part, into, fresh)
    shutil.rmtree(output)
    return into
