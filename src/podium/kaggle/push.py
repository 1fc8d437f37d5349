"""Kernels are pushed, no more at once than the account may run, and followed to their end."""

import io
import re
import time
from collections import deque
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from podium.kaggle.build import KernelBuild
from podium.kaggle.client import KaggleError, explained, is_passing
from podium.kaggle.follow import (
    PATIENCE,
    POLL_SECONDS,
    REFUSED,
    Following,
    KaggleKernel,
    KernelStatus,
)

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi


class PushRefused(KaggleError):
    """Kaggle does not run the kernel, or runs it without something that it needs."""


class SessionsFull(PushRefused):
    """As many kernels run as the account may have at once."""


def push(api: "KaggleApi", built: KernelBuild) -> str:
    """Push a built kernel, which starts it; returns its page.

    Raises:
        SessionsFull: the account runs as many as it may.
        PushRefused: with Kaggle's own words, which the client would only print.
    """
    ref = built.metadata.id
    with explained(f"pushing {ref}"), redirect_stdout(io.StringIO()):
        answer = api.kernels_push(str(built.folder))
    if answer.error:
        full = re.search(r"session count|concurrent|maximum.*session", answer.error, re.IGNORECASE)
        kind = SessionsFull if full else PushRefused
        raise kind(f"pushing {ref}: Kaggle refuses: {answer.error.rstrip('.')}")
    missing = [
        f"{key}: {', '.join(names)}"
        for key in ("dataset_sources", "competition_sources", "kernel_sources", "model_sources")
        if (names := getattr(answer, f"invalid_{key}"))
    ]
    if missing:
        raise PushRefused(
            f"pushing {ref}: Kaggle took it, and runs it without what it cannot find or may not "
            f"show you: {'; '.join(missing)}. Mend kernel-metadata.json (or accept the "
            "competition's rules), and push again"
        )
    return answer.url


def run_kernels(
    api: "KaggleApi",
    builts: Sequence[KernelBuild],
    at_once: int,
    poll_seconds: float = POLL_SECONDS,
) -> list[KernelStatus]:
    """Push kernels as places get free, follow them all, and return how each ended.

    Raises:
        KaggleError: the connection stayed away. What was pushed runs on.
    """
    fleet = _Fleet(api, builts, at_once)
    try:
        while fleet.waiting or fleet.following:
            fleet.push_what_fits()
            time.sleep(poll_seconds)
            fleet.ask_all()
    finally:
        for following in fleet.following:
            following.give_up()
    return fleet.ended


class _Fleet:
    """Kernels that wait for a place, run, or have ended."""

    def __init__(self, api: "KaggleApi", builts: Sequence[KernelBuild], at_once: int):
        self.api, self.at_once = api, at_once
        self.waiting = deque(builts)
        self.following: list[Following] = []
        self.ended: list[KernelStatus] = []
        self._labeled = len(builts) > 1
        self._failures = 0  # in a row, of the first that waits

    def push_what_fits(self) -> None:
        """Push until all places are taken."""
        while self.waiting and len(self.following) < self.at_once:
            built = self.waiting[0]
            label = f"[{built.folder.name}] " if self._labeled else ""
            kernel = KaggleKernel(built.metadata.id, built.folder, label)
            try:
                print(f"{label}pushed: {push(self.api, built)}", flush=True)
                self.following.append(Following(self.api, kernel))
            except KaggleError as error:
                self._failures += 1
                if self._may_try_again(error):
                    if self._failures == 1:
                        print(f"{label}{error}. Trying again", flush=True)
                    return
                self.ended.append(KernelStatus(kernel, REFUSED, str(error)))
            self.waiting.popleft()
            self._failures = 0

    def ask_all(self) -> None:
        """Ask each kernel for its status once."""
        self.ended += [end for each in self.following if (end := each.ask())]
        self.following = [each for each in self.following if not each.ended]

    def _may_try_again(self, error: KaggleError) -> bool:
        """A place gets free some time; a connection that stays away is told."""
        if isinstance(error, SessionsFull):
            return True
        cause = error.__cause__
        return cause is not None and is_passing(cause) and self._failures <= PATIENCE
