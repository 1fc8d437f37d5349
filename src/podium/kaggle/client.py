"""The real `kaggle` client, connected; what it prints or raises becomes one clear error."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi
    from kagglesdk import KaggleClient
    from requests import HTTPError, Response

SILENCE = 120.0  # seconds without a byte after which a connection is given up
ENDPOINT = "PODIUM_KAGGLE_ENDPOINT"  # where calls go in place of kaggle.com: a proxy, or a test


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
    if endpoint:
        from kagglesdk import kaggle_env

        # Before `kaggle` is imported, because importing it already checks an access token.
        kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.LOCAL] = endpoint
        os.environ["KAGGLE_API_ENVIRONMENT"] = "LOCALHOST"
    with explained("checking the Kaggle credentials"), redirect_stdout(io.StringIO()):
        try:
            from kaggle.api.kaggle_api_extended import KaggleApi

            class Impatient(KaggleApi):
                """The client, whose connections would otherwise wait for an answer for ever."""

                def build_kaggle_client(self) -> "KaggleClient":
                    kaggle = super().build_kaggle_client()
                    hang_up_after(SILENCE, kaggle)
                    return kaggle

            api = Impatient()
            api.args = ["--local"] if endpoint else []  # chooses the endpoint just named
            api.authenticate()  # prints a page of help and exits where there are none
        except SystemExit as error:
            raise NoCredentials(
                "no Kaggle credentials: run `kaggle auth login`, or put a token from "
                "https://www.kaggle.com/settings/api into ~/.kaggle/access_token (or into "
                "KAGGLE_API_TOKEN), or set KAGGLE_USERNAME and KAGGLE_KEY"
            ) from error
    return api


def user_name(api: "KaggleApi") -> str:
    """Whose credentials these are: the owner of what is pushed.

    Raises:
        NoCredentials: they name nobody.
    """
    name = api.get_config_value(api.CONFIG_NAME_USER)
    if not name:
        raise NoCredentials("the Kaggle credentials name no user: run `kaggle auth login`")
    return name


def hang_up_after(seconds: float, kaggle: "KaggleClient") -> None:
    """Give the connections of a client this time limit, where a call has none of its own."""
    from requests.adapters import HTTPAdapter

    class Impatient(HTTPAdapter):
        def send(self, request: Any, **options: Any) -> "Response":
            limit = options.pop("timeout", None) or seconds
            return super().send(request, timeout=limit, **options)

    session = kaggle.http_client()._init_session() or kaggle.http_client()._session
    for scheme in ("http://", "https://"):
        session.mount(scheme, Impatient())


@contextmanager
def explained(what: str, forbidden: str = "", unknown: str = "") -> Iterator[None]:
    """Turn what a call of the client raises into a KaggleError.

    Args:
        what: the doing that failed, as the message begins: "downloading cars".
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
        yield
    except requests.HTTPError as error:
        code = _code(error)
        hint = advice.get(code, "")
        raise KaggleError(
            f"{what}: Kaggle answers {code}: {_said(error)}" + f". {hint}" * bool(hint)
        ) from error
    except json.JSONDecodeError as error:
        raise KaggleError(
            f"{what}: the answer is not Kaggle's, because it is no JSON. Does a proxy ask for a "
            "password?"
        ) from error
    except requests.RequestException as error:
        raise KaggleError(
            f"{what}: the connection failed ({_innermost(error)}); try again when there is one"
        ) from error


def is_passing(error: BaseException) -> bool:
    """Whether a later try may well succeed: no connection, or a server in trouble."""
    import requests

    if isinstance(error, requests.HTTPError):
        code = _code(error)
        return code == 429 or code >= 500
    broken = requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError
    return isinstance(error, broken)


def _code(error: "HTTPError") -> int:
    """The status of a refusal; some come as JSON in an answer whose own status is 200."""
    if error.response is None:
        return 0
    if error.response.status_code != 200:
        return error.response.status_code
    return int(error.response.json().get("code", 0))


def _said(error: "HTTPError") -> str:
    """Kaggle's own words where it sent some, without a final full stop."""
    try:
        message = error.response.json().get("message")
    except (ValueError, AttributeError):
        message = None
    return str(message or error).strip().rstrip(".")


def _innermost(error: BaseException) -> str:
    """The cause at the bottom: requests and urllib3 wrap it several times."""
    while True:
        inner = error.__cause__ or error.__context__ or getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        error = inner
