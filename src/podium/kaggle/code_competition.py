"""A code competition: a kernel that predicts is pushed, and submitted to run on hidden images."""

from collections.abc import Iterable
from functools import partial

from podium import paths
from podium.competitions import get_competition
from podium.kaggle.build import build
from podium.kaggle.client import connect, explained, user_name
from podium.kaggle.following import KernelRun, push, push_and_follow
from podium.kaggle.kernels import KernelFailed
from podium.kaggle.metadata import kernel_name, read_metadata
from podium.kaggle.submit import SubmissionResult, send_and_follow, slug_of
from podium.recipes.entries import get_entry
from podium.recipes.recipe_file import load_ensemble
from podium.runs.run_folder import run_name

FILE = "submission.csv"  # see paths.submission


def push_predict(entry_name: str, wait: bool, poll_seconds: float, **options: object) -> None:
    """Build the kernel that predicts, by the options of `build`, push it, and perhaps follow it.

    Raises:
        KernelFailed: it ended with an error.
        KaggleError: Kaggle refuses, or cannot be reached.
    """
    api = connect()
    built = build(entry_name, user_name(api), predicts=True, **options)
    print(built, end="\n\n", flush=True)
    if not wait:
        print(f"pushed: {push(api, built).page}")
    else:
        [ended] = push_and_follow(api, [built], 1, poll_seconds)
        if not ended.is_complete:
            raise KernelFailed(f"{ended} (its log: {ended.log_file})")
    print(f"to have it run on the hidden images: podium submit {entry_name} --kernel --wait")


def submit_kernel(
    entry_name: str,
    message: str | None = None,
    wait: bool = False,
    poll_seconds: float = 5.0,
    overrides: Iterable[str] = (),
    run: str | None = None,
) -> SubmissionResult:
    """Submit the last version of the kernel that `podium push ENTRY --predict` pushed.

    Args:
        wait: for the kernel, where it runs still, and then for the score.
        overrides, run: as they were pushed.

    Raises:
        WrongSubmission: the competition is none of Kaggle's.
        KernelFailed: the kernel runs still, or has failed.
        KaggleError: Kaggle refuses it, or could not score it, or it is not known whether it did.
    """
    entry = get_entry(entry_name)
    recipe = load_ensemble(entry.recipe_file) if entry.is_ensemble else entry.recipe(overrides)
    slug = slug_of(get_competition(recipe.competition))
    name = kernel_name(run or run_name(entry.name, overrides), predicts=True)
    metadata, api = read_metadata(entry), connect()
    ref = metadata.filled(user_name(api), name).id
    kernel = KernelRun(api, ref, paths.project() / "build" / name)
    kernel.follow(2 * poll_seconds) if wait else kernel.ask()
    if not kernel.is_complete:
        raise KernelFailed(f"{kernel}. Only a version that has run can be submitted")
    version = _last_version(kernel)
    told = f"version {version} of {ref}"
    code = api.competition_submit_code
    call = partial(code, FILE, message or told, slug, ref, version, quiet=True)
    return send_and_follow(api, told, slug, call, wait, poll_seconds)


def _last_version(kernel: KernelRun) -> int:
    """The number of a kernel's last version."""
    from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelRequest

    request = ApiGetKernelRequest()
    request.user_name, request.kernel_slug = kernel.ref.split("/")
    action = f"asking for the version of {kernel.ref}"
    with explained(action), kernel.api.build_kaggle_client() as kaggle:
        answer = kaggle.kernels.kernels_api_client.get_kernel(request)
    return answer.metadata.current_version_number
