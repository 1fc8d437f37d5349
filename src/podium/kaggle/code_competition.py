"""A code competition: a kernel that predicts is pushed, and submitted to run on hidden images."""

from functools import partial

from podium import paths
from podium.competitions import get_competition
from podium.kaggle.build import build
from podium.kaggle.client import connect, explained, user_name
from podium.kaggle.following import KernelRun, push, push_and_follow
from podium.kaggle.kernel import Kernel
from podium.kaggle.kernels import KernelFailed
from podium.kaggle.submit import SubmissionResult, send_and_follow, slug_of

FILE = "submission.csv"  # see paths.submission


def push_predict(kernel: Kernel, wait: bool, poll_seconds: float) -> None:
    """Build the kernel that predicts, push it, and perhaps follow it.

    Raises:
        KernelFailed: it ended with an error.
        KaggleError: Kaggle refuses, or cannot be reached.
    """
    api = connect()
    built = build(kernel, user_name(api))
    print(built, end="\n\n", flush=True)
    if not wait:
        print(f"pushed: {push(api, built).page}")
    else:
        [ended] = push_and_follow(api, [built], 1, poll_seconds)
        if not ended.is_complete:
            raise KernelFailed(f"{ended} (its log: {ended.log_file})")
    name = kernel.entry_name
    print(f"to have it run on the hidden images: podium submit {name} --kernel --wait")


def submit_kernel(
    kernel: Kernel, message: str | None = None, wait: bool = False, poll_seconds: float = 5.0
) -> SubmissionResult:
    """Submit the last version of the kernel that `podium push ENTRY --predict` pushed.

    Args:
        wait: for the kernel, where it runs still, and then for the score.

    Raises:
        WrongSubmission: the competition is none of Kaggle's.
        KernelFailed: the kernel runs still, or has failed.
        KaggleError: Kaggle refuses it, or could not score it, or it is not known whether it did.
    """
    slug = slug_of(get_competition(kernel.recipe.competition))
    api = connect()
    last = KernelRun.last(api, kernel)
    last.follow(2 * poll_seconds) if wait else last.ask()
    if not last.is_complete:
        raise KernelFailed(f"{last}. Only a version that has run can be submitted")
    version = _last_version(last)
    told = f"version {version} of {last.ref}"
    code = api.competition_submit_code
    call = partial(code, FILE, message or told, slug, last.ref, version, quiet=True)
    csv = paths.submission(kernel.run)
    return send_and_follow(api, told, slug, csv, call, wait, poll_seconds)


def _last_version(kernel: KernelRun) -> int:
    """The number of a kernel's last version."""
    from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelRequest

    request = ApiGetKernelRequest()
    request.user_name, request.kernel_slug = kernel.ref.split("/")
    action = f"asking for the version of {kernel.ref}"
    with explained(action), kernel.api.build_kaggle_client() as kaggle:
        answer = kaggle.kernels.kernels_api_client.get_kernel(request)
    return answer.metadata.current_version_number
