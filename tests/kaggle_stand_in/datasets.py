"""Datasets as the stand-in keeps them: uploaded file by file, private, in versions."""

import secrets
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_stand_in.answers import Body, Redirect, RefusedError

if TYPE_CHECKING:
    from kaggle_stand_in.server import StandIn


class Datasets(dict[str, Path]):
    """The archive of the last version by "owner/slug", and the API's methods for datasets.

    Attributes:
        created: what CreateDataset said of those that were made by it.
        versions: how many each of these has.
        until_ready: how often a new version is asked for before it is ready.
    """

    def __init__(self, stand_in: "StandIn"):
        super().__init__()
        self._stand_in = stand_in
        self._blobs: dict[str, tuple[str, bytes | None]] = {}  # token → file name and content
        self._asked: dict[str, int] = {}
        self.created: dict[str, Body] = {}
        self.versions: dict[str, int] = {}
        self.until_ready = 1

    def download(self, body: Body) -> Redirect:
        """DownloadDataset."""
        ref = self._known(body)
        return Redirect(self._stand_in.link(f"files/{ref}/archive.zip", ref, self[ref]))

    def start_upload(self, body: dict[str, Any]) -> Body:
        """StartBlobUpload."""
        if body.get("type") != "DATASET":
            raise RefusedError(400, f"Unknown type of blob {body.get('type')}")
        token = secrets.token_hex(8)
        self._blobs[token] = (body["name"], None)
        return {"token": token, "createUrl": f"{self._stand_in.url}/upload/{token}"}

    def receive(self, token: str, content: bytes) -> bool:
        """Take what is uploaded; returns whether it is of a dataset."""
        if token not in self._blobs:
            return False
        self._blobs[token] = (self._blobs[token][0], content)
        return True

    def status(self, body: Body) -> Body:
        """GetDatasetStatus."""
        ref = self._known(body)
        self._asked[ref] = self._asked.get(ref, 0) + 1
        ready = ref not in self.created or self._asked[ref] > self.until_ready
        return {"status": "READY" if ready else "BLOBS_RECEIVED"}

    def list_files(self, body: Body) -> Body:
        """ListDatasetFiles, all in one page."""
        with zipfile.ZipFile(self[self._known(body)]) as archive:
            return {"datasetFiles": [{"name": name} for name in archive.namelist()]}

    def create(self, body: dict[str, Any]) -> Body:
        """CreateDataset."""
        ref = f"{body.get('ownerSlug')}/{body.get('slug')}"
        if body.get("ownerSlug") != self._stand_in.user:
            raise RefusedError(403, "Permission 'datasets.create' was denied")
        if ref in self:
            return {"status": "error", "error": "The requested title is already in use"}
        self.created[ref] = body
        return self._keep(ref, body)

    def create_version(self, body: dict[str, Any]) -> Body:
        """CreateDatasetVersion; the files of the version before are not in it."""
        return self._keep(self._known(body), body["body"])

    def _keep(self, ref: str, body: dict[str, Any]) -> Body:
        blobs = [self._blobs.pop(file["token"]) for file in body.get("files", [])]
        if not blobs or any(content is None for _, content in blobs):
            return {"status": "error", "error": "The dataset needs at least one file"}
        number = self.versions[ref] = self.versions.get(ref, 0) + 1
        folder = self._stand_in.folder / "datasets" / ref / str(number)
        folder.mkdir(parents=True)
        archive = folder / "archive.zip"
        with zipfile.ZipFile(archive, "w") as kept:
            for name, content in blobs:
                (folder / name).write_bytes(content)
                if name.endswith(".zip"):  # which Kaggle unpacks to a folder of that name
                    with zipfile.ZipFile(folder / name) as packed:
                        for each in packed.namelist():
                            kept.writestr(f"{name.removesuffix('.zip')}/{each}", packed.read(each))
                else:
                    kept.writestr(name, content)
        self[ref], self._asked[ref] = archive, 0
        url = f"https://www.kaggle.com/datasets/{ref}"
        return {"status": "ok", "ref": f"/{ref}", "url": url}

    def _known(self, body: Body) -> str:
        ref = f"{body.get('ownerSlug')}/{body.get('datasetSlug')}"
        if ref not in self:
            raise RefusedError(404, "Dataset not found")
        return ref
