"""What a kernel left as its output, fetched whole."""

import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tqdm import tqdm

from podium.files.atomic_write import atomic_write
from podium.kaggle.client import KaggleError, explained, is_passing

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

PAGE = 200  # files in one answer: the most that Kaggle gives
TRIES = 5
TIMEOUT = 60.0  # seconds without a byte
BLOCK = 1 << 20  # bytes


def fetch_output(api: "KaggleApi", ref: str, folder: Path) -> list[Path]:
    """Fetch all files of a kernel's last run into a folder; returns their paths.

    Raises:
        KaggleError: there are none, the connection failed, or a name leads out of the folder.
    """
    files = _list(api, ref)
    if not files:
        raise KaggleError(f"{ref} has no output: did it run to its end? See its log on Kaggle")
    targets = {_inside(folder, name, ref): url for name, url in files}
    with explained(f"fetching the output of {ref}"):
        for path, url in tqdm(targets.items(), desc="fetching", unit="file", disable=None):
            _fetch(url, path)
    return list(targets)


def _list(api: "KaggleApi", ref: str) -> list[tuple[str, str]]:
    """Name and address of each output file, from all pages."""
    from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

    files: list[tuple[str, str]] = []
    request = ApiListKernelSessionOutputRequest()
    request.user_name, request.kernel_slug = ref.split("/")
    request.page_size, request.page_token = PAGE, ""
    unknown = f"no kernel {ref} on Kaggle, or it is not yours: push it first"
    doing = f"listing the output of {ref}"
    with explained(doing, unknown, unknown), api.build_kaggle_client() as kaggle:
        while True:
            answer = kaggle.kernels.kernels_api_client.list_kernel_session_output(request)
            files += [(file.file_name, file.url) for file in answer.files or []]
            if not answer.next_page_token:
                return files
            request.page_token = answer.next_page_token


def _inside(folder: Path, name: str, ref: str) -> Path:
    """The path of an output file below the folder; its name comes from elsewhere."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or "\0" in name:
        raise KaggleError(f"{ref} has an output file {name!r}, whose name leads out of its folder")
    return folder / path


def _fetch(url: str, path: Path) -> None:
    """Download one file, again from its start where the connection breaks."""
    import requests

    if urlsplit(url).scheme not in ("http", "https"):
        raise KaggleError(f"{path.name} is not offered over http(s) but as {url[:50]}")
    for attempt in range(1, TRIES + 1):
        try:
            with (
                requests.get(url, stream=True, timeout=TIMEOUT) as answer,
                atomic_write(path) as part,
            ):
                answer.raise_for_status()
                with part.open("wb") as file:
                    for block in answer.iter_content(BLOCK):
                        file.write(block)
            return
        except requests.RequestException as error:
            if attempt == TRIES or not is_passing(error):
                raise
            time.sleep(2.0**attempt / 2)
