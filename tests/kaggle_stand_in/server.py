"""The stand-in itself: what it knows, what tests may set, and the API's methods."""

import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote

from kaggle_stand_in.answers import Body, Breaks, ConnectionBroken, Redirect, RefusedError
from kaggle_stand_in.competitions import Competition, Competitions
from kaggle_stand_in.datasets import Datasets
from kaggle_stand_in.handler import Server
from kaggle_stand_in.kernels import Kernels

Call = tuple[str, Body]


class StandIn:
    """Kaggle on 127.0.0.1, for as long as its `with` lasts.

    Attributes:
        url: http://127.0.0.1:<a free port>.
        user, key: the only user, who may come with them (Basic) or with `token` (Bearer).
        competitions: by slug; see Competition for what may be set there.
        datasets: the archive by "owner/slug"; see Datasets.
        kernels: by "owner/slug"; see Kernel and Session for what was pushed and how it ran.
        calls: (method, body) of every call in order of arrival; downloads are ("GET", {path,
            range}), uploads ("PUT", {path, bytes}), and listening to a log ("log", {ref}).

    To be set by tests:
        refuse_push: a message with which SaveKernel refuses.
        refuse_submission: a message with which CreateSubmission refuses.
        fail_upload: the HTTP status with which an upload is refused.
        links_expire: a link to a file serves no more once its download broke, as Kaggle's do
            after a while.
        quota: hours of the week by "gpu" and "tpu": used and allowed.
        max_sessions: how many kernels of a kind (CPU, GPU) may run at once.
        hold_queue: kernels stay QUEUED as long as it is true.
        nested_input: input/competitions/<slug>, input/datasets/<owner>/<slug> and
            input/notebooks/<owner>/<slug> instead of input/<slug>, as on newer Kaggle.
        environment: more environment variables for kernels. They have no PYTHONUNBUFFERED, so
            that a kernel which does not flush its output is seen not to.
        python: that runs kernels, in place of the clean environment of this interpreter.
        ends_when: whether Kaggle ends a kernel, as after 12 hours, once its log is so far.
        keeps_ended: whether what a kernel wrote that Kaggle ended is its output, and attached to
            others. Nobody says whether Kaggle's own is.
        run_instead: a script that runs in place of what was pushed, or what gives one (or None)
            for a kernel's ref; for tests of what happens around a kernel.
    """

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.user, self.key, self.token = "someone", "key", "KGAT_stand-in"
        self.competitions = Competitions(self)
        self.datasets = Datasets(self)
        self.kernels = Kernels(self)
        self.calls: list[Call] = []
        self.refuse_push: str | None = None
        self.refuse_submission: str | None = None
        self.fail_upload: int | None = None
        self.links_expire = self.hold_queue = self.nested_input = False
        self.quota = {"gpu": (3.5, 30.0), "tpu": (0.0, 20.0)}
        self.max_sessions: int | None = None
        self.environment: dict[str, str] = {}
        self.python: Path | None = None
        self.ends_when: Callable[[str], bool] = lambda log: False
        self.keeps_ended = True
        self.run_instead: str | Callable[[str], str | None] | None = None
        self.breaks = Breaks()
        self._failures: dict[str, list[int]] = {}
        self._links: dict[str, tuple[str, Path]] = {}  # signature → name and file
        self._lock = threading.RLock()
        self._server = Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "StandIn":
        # A short interval, because leaving waits for it.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all connections and kernels; raises what went wrong in the stand-in itself."""
        self.kernels.stop()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self._server.errors and error is None:
            raise self._server.errors[0]

    def add_competition(
        self,
        slug: str,
        archive: Path,
        truth: Path | None = None,
        rules_accepted: bool = True,
    ) -> Competition:
        """Add a competition.

        Args:
            archive: the zip that downloads serve, and that kernels find extracted.
            truth: CSV of two columns by which the accuracy of submissions is scored.
        """
        self.competitions[slug] = Competition(slug, archive, truth, rules_accepted)
        return self.competitions[slug]

    def add_dataset(self, ref: str, archive: Path) -> None:
        """Add a dataset "owner/slug", whose archive kernels find extracted."""
        self.datasets[ref] = archive

    def break_download(self, what: str, after: int, times: int = 1) -> None:
        """Break the next downloads after so many bytes each.

        Args:
            what: a competition's slug, a dataset's "owner/slug", or "owner/slug/name" of an
                output file of a kernel.
        """
        self.breaks.plan(what, after, times)

    def break_log(self, after: int, times: int = 1) -> None:
        """Break the next streams of a running kernel's log after so many lines each."""
        self.breaks.plan("log", after, times)

    def cancel(self, ref: str) -> None:
        """End the last run of a kernel, as its owner may do on Kaggle's pages."""
        self.kernels[ref].last.cancel()

    def fail(self, method: str, status: int = 503, times: int = 1) -> None:
        """Let the next calls of a method fail.

        Args:
            method: the last part of its name, such as "GetKernelSessionStatus", or "log".
            status: the HTTP status, or 0 for a connection that ends without an answer.
        """
        self._failures.setdefault(method, []).extend([status] * times)

    # What follows is for the server's threads.

    def note(self, method: str, body: Body) -> None:
        """Keep a call, and let it fail where that is planned."""
        with self._lock:
            self.calls.append((method, body))
            planned = self._failures.get(method)
            status = planned.pop(0) if planned else None
        if status == 0:
            raise ConnectionBroken
        if status is not None:
            raise RefusedError(status, "The service is currently unavailable")

    def call(self, method: str, body: dict[str, Any]) -> Body | Redirect:
        """Answer a call of the API."""
        name = method.rpartition("/")[2]
        self.note(name, body)
        competitions, datasets, kernels = self.competitions, self.datasets, self.kernels
        methods = {
            "security.OAuthService/IntrospectToken": self._introspect,
            "competitions.CompetitionApiService/DownloadDataFiles": competitions.download,
            "competitions.CompetitionApiService/StartSubmissionUpload": competitions.start_upload,
            "competitions.CompetitionApiService/CreateSubmission": competitions.submit,
            "competitions.CompetitionApiService/GetSubmission": competitions.get_submission,
            "competitions.CompetitionApiService/ListSubmissions": competitions.list_submissions,
            "competitions.CompetitionApiService/CreateCodeSubmission": competitions.submit_code,
            "blobs.BlobApiService/StartBlobUpload": datasets.start_upload,
            "datasets.DatasetApiService/CreateDataset": datasets.create,
            "datasets.DatasetApiService/CreateDatasetVersion": datasets.create_version,
            "datasets.DatasetApiService/DownloadDataset": datasets.download,
            "datasets.DatasetApiService/GetDatasetStatus": datasets.status,
            "datasets.DatasetApiService/ListDatasetFiles": datasets.list_files,
            "kernels.KernelsApiService/GetKernel": kernels.get,
            "kernels.KernelsApiService/SaveKernel": kernels.save,
            "kernels.KernelsApiService/GetAcceleratorQuotaStatistics": self._tell_quota,
            "kernels.KernelsApiService/GetKernelSessionStatus": kernels.status,
            "kernels.KernelsApiService/ListKernelSessionOutput": kernels.list_output,
        }
        if method not in methods:
            raise RefusedError(404, f"the stand-in does not know {method}")
        with self._lock:
            return methods[method](body)

    def link(self, path: str, name: str, file: Path) -> str:
        """A signed link to a file, which needs no credentials, as Kaggle's storage gives them.

        Args:
            name: what break_download calls it.
        """
        signature = secrets.token_hex(8)
        self._links[signature] = (name, file)
        return f"{self.url}/{quote(path)}?Expires=600&Signature={signature}"

    def file_at(self, path: str, signature: str) -> tuple[str, Path]:
        """Name and file of a link.

        Raises:
            RefusedError: it was never given, or has expired.
        """
        with self._lock:
            found = self._links.get(signature)
            if found is None:
                raise RefusedError(403, f"The link to {unquote(path)} is not valid or has expired")
            return found

    def expire(self, signature: str) -> None:
        """Let a link end, if links do."""
        if self.links_expire:
            self._links.pop(signature, None)

    def log_events(self, ref: str, label: str) -> tuple[bool, Iterator[Body]]:
        """Whether a run of a kernel is over, and the lines of its log as they come."""
        self.note("log", {"ref": ref})
        return self.kernels.log_events(ref, label)

    def receive(self, path: str, content: bytes) -> None:
        """Take what is uploaded."""
        self.note("PUT", {"path": path, "bytes": len(content)})
        token = path.rpartition("/")[2]
        with self._lock:
            if self.fail_upload is not None:
                raise RefusedError(self.fail_upload, "The upload failed")
            if not self.datasets.receive(token, content):
                self.competitions.receive(token, content)

    def report(self, error: BaseException) -> None:
        """Keep an error of the stand-in itself, to be raised when it is left."""
        self._server.errors.append(error)

    def _tell_quota(self, _: Body) -> Body:
        quotas = {
            f"{kind}Quota": {"timeUsed": f"{3600 * used}s", "totalTimeAllowed": f"{3600 * total}s"}
            for kind, (used, total) in self.quota.items()
        }
        return {"quotaRefreshTime": "2026-12-05T00:00:00.000Z", **quotas}

    def _introspect(self, body: Body) -> Body:
        if body.get("token") != self.token:
            return {"active": False}
        return {"active": True, "username": self.user, "userId": 1}
