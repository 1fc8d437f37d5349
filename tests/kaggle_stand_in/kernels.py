"""Kernels by name, and the API's methods: push, status, output."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slugify import slugify

from kaggle_stand_in.answers import Body, RefusedError
from kaggle_stand_in.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kaggle_stand_in.competitions import Competition
    from kaggle_stand_in.server import StandIn

PAGE = 20  # output files in a page, where the client does not say
LARGEST_PAGE = 200


class Kernel:
    """A kernel by name; it may be looked at, and hostile output planted, before it is pushed.

    Attributes:
        sessions: its runs in order of version; see Session.
        extra_outputs: content by name, listed and served as if each run had left it.
    """

    def __init__(self, ref: str):
        self.ref = ref
        self.sessions: list[Session] = []
        self.extra_outputs: dict[str, bytes] = {}

    @property
    def last(self) -> Session:
        """The latest run.

        Raises:
            RefusedError: there is none, as Kaggle says it of a kernel that it does not know.
        """
        if not self.sessions:
            raise RefusedError(403, "Permission 'kernels.get' was denied")
        return self.sessions[-1]

    def run(self, label: str) -> Session:
        """The run of a version, by its label; the latest where there is none.

        Raises:
            RefusedError: there is no such version; a bare number is none.
        """
        last = self.last
        found = [each for each in self.sessions if label in ("", f"v{each.version}")]
        if not found:
            raise RefusedError(404, "Not found")
        return last if not label else found[0]

    def attached(self) -> Session | None:
        """The latest run whose output others get."""
        return next((each for each in reversed(self.sessions) if each.is_attached), None)


class Kernels(dict[str, Kernel]):
    """Kernels by "owner/slug", and the API's methods for them."""

    def __init__(self, stand_in: "StandIn"):
        super().__init__()
        self._stand_in = stand_in
        self._reruns: list[Session] = []

    def __missing__(self, ref: str) -> Kernel:
        self[ref] = Kernel(ref)
        return self[ref]

    def save(self, body: dict[str, Any]) -> Body:
        """SaveKernel: keeps what is pushed and starts it."""
        ref = self._ref(body)
        error = self._stand_in.refuse_push or self._reason_against(ref, body)
        if error:
            return {"error": error}
        mounts, invalid = self._sources(body)
        kernel = self[ref]
        session = Session(
            version=len(kernel.sessions) + 1,
            pushed=body,
            folder=self._stand_in.folder / "kernels" / ref / str(len(kernel.sessions) + 1),
        )
        kernel.sessions.append(session)
        session.start(self._stand_in, ref, mounts)
        answer = {
            "ref": f"/code/{ref}",
            "url": f"https://www.kaggle.com/code/{ref}",
            "versionNumber": session.version,
        }
        return answer | {key: names for key, names in invalid.items() if names}

    def get(self, body: dict[str, Any]) -> Body:
        """GetKernel, without its code."""
        kernel = self._asked(body)
        about = {"ref": kernel.ref, "currentVersionNumber": kernel.last.version}
        return {"metadata": about, "blob": {}}

    def version(self, ref: str, number: int) -> Session:
        """A version of a kernel.

        Raises:
            RefusedError: there is none of that number.
        """
        found = [session for session in self[ref].sessions if session.version == number]
        if not found:
            raise RefusedError(404, "Notebook version not found")
        return found[0]

    def run_again(self, ref: str, session: Session, competition: "Competition") -> Session:
        """Run a version with the hidden images of a competition in the place of its own."""
        mounts, _ = self._sources(session.pushed)
        hidden = {
            place: competition.hidden if source == competition.archive else source
            for place, source in mounts.items()
        }
        folder = session.folder.with_name(f"{session.version}-hidden-{len(self._reruns)}")
        rerun = Session(session.version, session.pushed, folder)
        self._reruns.append(rerun)
        rerun.start(self._stand_in, ref, hidden)
        return rerun

    def status(self, body: dict[str, Any]) -> Body:
        """GetKernelSessionStatus."""
        session = self._asked(body).run(body.get("versionLabel", ""))
        answer: Body = {"status": session.status}
        message = session.failure_message
        return answer | {"failureMessage": message} if message else answer

    def list_output(self, body: dict[str, Any]) -> Body:
        """ListKernelSessionOutput: a page of a run's files, and its log, once it is over."""
        kernel = self._asked(body)
        session = kernel.run(body.get("versionLabel", ""))
        if not session.ended:
            return {"files": []}
        files = session.outputs | self._extra(kernel)
        size = min(body.get("pageSize", PAGE), LARGEST_PAGE)
        first = int(body.get("pageToken") or 0)
        names = sorted(files)
        listed = [
            {"fileName": name, "url": self._link(kernel, name, files[name])}
            for name in names[first : first + size]
        ]
        more = first + size < len(names)
        log = json.dumps(session.log)
        return {"files": listed, "log": log, "nextPageToken": str(first + size) if more else ""}

    def log_events(self, ref: str, label: str) -> "tuple[bool, Iterator[Body]]":
        """Whether a run is over, and its lines as they come."""
        session = self[ref].run(label)
        return session.ended, session.events()

    def stop(self) -> None:
        """End all runs."""
        sessions = [session for kernel in self.values() for session in kernel.sessions]
        sessions += self._reruns
        for session in sessions:
            session.cancel()
        for session in sessions:
            session.join()

    def _ref(self, body: dict[str, Any]) -> str:
        """The name of what is pushed: Kaggle names a new kernel by its title."""
        ref = str(body.get("slug", ""))
        if body.get("newTitle") and not self[ref].sessions:
            return f"{ref.partition('/')[0]}/{slugify(body['newTitle'])}"
        return ref

    def _reason_against(self, ref: str, body: dict[str, Any]) -> str | None:
        if ref.partition("/")[0] != self._stand_in.user:
            return "Notebook not found"
        before = self[ref].sessions
        if before and before[0].pushed.get("kernelType") != body.get("kernelType"):
            return "The type of an existing kernel cannot be changed"
        machine = _machine(body)
        running = [
            session
            for kernel in self.values()
            for session in kernel.sessions
            if not session.ended and _machine(session.pushed) == machine
        ]
        limit = self._stand_in.max_sessions
        if limit is not None and len(running) >= limit:
            return f"Maximum batch {machine} session count of {limit} reached."
        return None

    def _sources(self, body: dict[str, Any]) -> tuple[dict[str, Path], dict[str, list[str]]]:
        """What is mounted where below input/, and what cannot be, which Kaggle only reports."""
        stand_in, nested = self._stand_in, self._stand_in.nested_input
        mounts: dict[str, Path] = {}
        invalid: dict[str, list[str]] = {
            "invalidModelSources": list(body.get("modelDataSources", [])),
            "invalidCompetitionSources": [],
            "invalidDatasetSources": [],
            "invalidKernelSources": [],
        }
        for slug in body.get("competitionDataSources", []):
            competition = stand_in.competitions.get(slug)
            if competition and competition.rules_accepted:
                mounts[f"competitions/{slug}" if nested else slug] = competition.archive
            else:
                invalid["invalidCompetitionSources"].append(slug)
        for source in body.get("datasetDataSources", []):
            owner, slug, *_ = source.split("/")
            if f"{owner}/{slug}" in stand_in.datasets:
                archive = stand_in.datasets[f"{owner}/{slug}"]
                mounts[f"datasets/{owner}/{slug}" if nested else slug] = archive
            else:
                invalid["invalidDatasetSources"].append(source)
        for source in body.get("kernelDataSources", []):
            owner, slug, *_ = source.split("/")
            attached = self[f"{owner}/{slug}"].attached()
            if attached:
                mounts[f"notebooks/{owner}/{slug}" if nested else slug] = attached.working
            else:
                invalid["invalidKernelSources"].append(source)
        return mounts, invalid

    def _link(self, kernel: Kernel, name: str, file: Path) -> str:
        return self._stand_in.link(f"output/{kernel.ref}/{file.name}", f"{kernel.ref}/{name}", file)

    def _asked(self, body: dict[str, Any]) -> Kernel:
        return self[f"{body.get('userName')}/{body.get('kernelSlug')}"]

    def _extra(self, kernel: Kernel) -> dict[str, Path]:
        """Planted outputs, in files whose own names are harmless."""
        folder = self._stand_in.folder / "planted" / kernel.ref
        folder.mkdir(parents=True, exist_ok=True)
        files = {}
        for number, (name, content) in enumerate(kernel.extra_outputs.items()):
            files[name] = folder / str(number)
            files[name].write_bytes(content)
        return files


def _machine(body: dict[str, Any]) -> str:
    shape = str(body.get("machineShape", ""))
    return "GPU" if shape.startswith("Nvidia") else "TPU" if shape.startswith("Tpu") else "CPU"
