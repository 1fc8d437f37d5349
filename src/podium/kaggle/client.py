"""The real `kaggle` client, connected; what it prints or raises becomes one clear error."""

import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from podium import paths
from podium.text import single_line

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi
    from requests import HTTPError

SILENCE = 120.0  # seconds without a byte after which a connection is given up
PAUSES = (2.0, 4.0, 8.0, 16.0, 32.0)  # seconds before each further try without progress
BLOCK = 1 << 17  # bytes written at once, and lost where a connection breaks
ENDPOINT = "PODIUM_KAGGLE_ENDPOINT"  # where calls go in place of kaggle.com: a proxy, or a test
VARIABLES = ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY")
NO_CREDENTIAL = (
    "{} holds signs that none has, as a line end within or the … of a shortened copy: copy it "
    "again from https://www.kaggle.com/settings/api"
)


class KaggleError(ValueError):
    """Kaggle refused, or could not be reached: says what was asked and what to do."""


class NoCredentials(KaggleError):
    """Nothing on this machine says who is asking."""


def connect() -> "KaggleApi":
    """The client with the credentials of this machine, and the endpoint that is asked for.

    Raises:
        NoCredentials: there are none, or Kaggle does not take them.
        KaggleError: they could not be checked.
    """
    endpoint = os.environ.get(ENDPOINT, "").rstrip("/")
    _check_credentials()
    if endpoint:
        _check_endpoint(endpoint)
        from kagglesdk import kaggle_env

        # Before `kaggle` is imported, because importing it already checks an access token.
        kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.LOCAL] = endpoint
        os.environ["KAGGLE_API_ENVIRONMENT"] = "LOCALHOST"
    with explained("checking the Kaggle credentials"), redirect_stdout(io.StringIO()):
        try:
            api = _client()
            api.args = ["--local"] if endpoint else []  # chooses the endpoint just named
            api.authenticate()  # prints a page of help and exits where there are none
        except SystemExit as error:
            raise NoCredentials(
                "no Kaggle credentials: run `kaggle auth login`, or put a token from "
                "https://www.kaggle.com/settings/api into ~/.kaggle/access_token (or into "
                "KAGGLE_API_TOKEN), or set KAGGLE_USERNAME and KAGGLE_KEY"
            ) from error
    return api


def _check_endpoint(endpoint: str) -> None:
    """Refuse to send credentials over an open line, but to this machine itself."""
    parts = urlsplit(endpoint)
    is_here = re.fullmatch(r"localhost|127(\.\d+){3}|::1", parts.hostname or "")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_here):
        raise KaggleError(
            f"{ENDPOINT} is {single_line(endpoint)}: credentials are sent over https only, or over "
            "http to this machine itself (http://127.0.0.1:PORT)"
        )


def _check_credentials() -> None:
    """Take line ends off the credentials, and refuse what none can be, without showing it.

    Raises:
        NoCredentials: one holds signs that no request can, or kaggle.json is damaged.
    """
    given = {name: os.environ[name].strip() for name in VARIABLES if name in os.environ}
    os.environ.update(given)
    for folder in _config_folders():
        path = folder / "kaggle.json"
        if path.is_file():
            try:
                stored = json.loads(path.read_text("utf-8"))
                given |= {f"{key} of {path}": stored[key] for key in ("username", "key")}
            except (ValueError, LookupError, TypeError):
                raise NoCredentials(
                    f"{path} is not the JSON of username and key that Kaggle makes: download it "
                    "again from https://www.kaggle.com/settings/api, or delete it"
                ) from None  # which would show some of it
        for path in folder.glob("access_token*"):
            given[str(path)] = path.read_text("utf-8", "replace").strip()
    for name, value in given.items():
        is_plain = isinstance(value, str) and value.isascii() and value.isprintable()
        if not is_plain and not Path(str(value)).exists():  # which may hold the token
            raise NoCredentials(NO_CREDENTIAL.format(name))


def _config_folders() -> list[Path]:
    """Where the client looks for its files."""
    if folder := os.environ.get("KAGGLE_CONFIG_DIR"):
        return [Path(folder)]
    home = paths.home()
    return [home / ".kaggle", home / ".config" / "kaggle"] if home else []


def _client() -> "KaggleApi":
    """The client, with time limits and without tries of its own in downloads."""
    import requests
    from kaggle.api.kaggle_api_extended import KaggleApi

    class Adapter(requests.adapters.HTTPAdapter):
        def send(self, request: Any, **options: Any) -> Any:
            options["timeout"] = options.get("timeout") or SILENCE  # else it waits for ever
            return super().send(request, **options)

    class Client(KaggleApi):
        def build_kaggle_client(self) -> Any:
            kaggle = super().build_kaggle_client()
            session = kaggle.http_client()._init_session() or kaggle.http_client()._session
            for scheme in ("http://", "https://"):
                session.mount(scheme, Adapter())
            return kaggle

        def download_file(self, response: Any, outfile: str, *words: Any, **options: Any) -> None:
            # Its own tries go on with the first address, also once that has expired.
            options |= {"max_retries": 0, "timeout": SILENCE, "chunk_size": BLOCK}
            super().download_file(response, outfile, *words, **options)

    return Client()


def user_name(api: "KaggleApi") -> str:
    """The user that the credentials name: the owner of what is pushed.

    Raises:
        NoCredentials: they name nobody.
    """
    name = api.get_config_value(api.CONFIG_NAME_USER)
    if not name:
        raise NoCredentials("the Kaggle credentials name no user: run `kaggle auth login`")
    return name


@contextmanager
def explained(action: str, forbidden: str = "", unknown: str = "") -> Iterator[None]:
    """Turn what a call of the client raises into a KaggleError.

    Args:
        action: what failed, as the message begins: "downloading cars".
        forbidden: what to do where Kaggle answers 403.
        unknown: what to do where Kaggle answers 404.
    """
    import requests

    advice = {
        401: "Kaggle does not take the credentials: run `kaggle auth login` again",
        403: forbidden,
        404: unknown,
        429: "too many requests: wait some minutes",
    }
    try:
        with _unhidden():
            yield
    except requests.HTTPError as error:
        code = _status_code(error)
        hint = f". {advice[code]}" if advice.get(code) else ""
        raise KaggleError(f"{action}: Kaggle answers {code}: {_message(error)}{hint}") from error
    except json.JSONDecodeError as error:
        raise KaggleError(
            f"{action}: the answer is not Kaggle's, because it is no JSON. Does a proxy ask for a "
            "password?"
        ) from error
    except (requests.exceptions.InvalidHeader, UnicodeEncodeError):
        raise NoCredentials(NO_CREDENTIAL.format("a Kaggle credential")) from None
    except requests.RequestException as error:
        raise KaggleError(
            f"{action}: the connection failed ({_root_cause(error)}); try again when there is one"
        ) from error
    except ValueError as error:  # the client's own words, as of a name that leads out of a folder
        if isinstance(error, KaggleError):
            raise
        raise KaggleError(f"{action}: {single_line(str(error))}") from error


@contextmanager
def _unhidden() -> Iterator[None]:
    """Raise a refusal itself where the client only tells what it guesses from it."""
    from requests import HTTPError

    try:
        yield
    except ValueError as error:
        if isinstance(error.__context__, HTTPError) and not isinstance(error, KaggleError):
            raise error.__context__ from None
        raise


def is_passing(error: BaseException | None, also: int | None = None) -> bool:
    """Whether a later try may well succeed: no connection, a server in trouble, or a status."""
    import requests

    if isinstance(error, requests.HTTPError):
        code = _status_code(error)
        return code in (429, also) or code >= 500
    broken = requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError
    return isinstance(error, broken)


def fetch_patiently(fetch: Callable[[], None], path: Path) -> None:
    """Fetch a file or folder while the connection breaks; progress begins the count again.

    Raises:
        OSError: what `requests` raises; what came is kept.
    """
    import requests

    pauses = iter(PAUSES)
    while True:
        before = megabytes(path)
        try:
            with redirect_stdout(io.StringIO()):  # a progress bar goes to stderr
                fetch()
            return
        except requests.RequestException as error:
            if megabytes(path) > before:
                pauses = iter(PAUSES)
            pause = next(pauses, None) if is_passing(error) else None
            if pause is None:
                raise
        print(f"no connection at {megabytes(path):.1f} MB; trying again in {pause:.0f} s")
        time.sleep(pause)


def megabytes(path: Path) -> float:
    """The size of a file, or of all files in a folder; 0 where there is none."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def _status_code(error: "HTTPError") -> int:
    """The status of a refusal; some come as JSON in an answer whose own status is 200."""
    if error.response is None:
        return 0
    if error.response.status_code != 200:
        return error.response.status_code
    return int(error.response.json().get("code", 0))


def _message(error: "HTTPError") -> str:
    """Kaggle's own words where it sent some, without a final full stop."""
    try:
        message = error.response.json().get("message")
    except (ValueError, AttributeError):
        message = None
    return str(message or error).strip().rstrip(".")


def _root_cause(error: BaseException) -> str:
    """The innermost error: requests and urllib3 wrap it several times."""
    while True:
        inner = error.__cause__ or error.__context__ or getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        error = inner
