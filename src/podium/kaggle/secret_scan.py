"""Search for secrets in a kernel, which others may read: by their looks, and for our own."""

import getpass
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from podium import paths
from podium.kaggle.secret_kinds import find_secret

SHORTEST = 8  # characters of what is looked for: less is found in any text
CREDENTIALS = """
    .kaggle/* .config/kaggle/* .netrc .cache/huggingface/token .huggingface/token .aws/credentials
    .git-credentials .config/gh/hosts.yml .pypirc .npmrc .docker/config.json
    .config/gcloud/application_default_credentials.json
""".split()  # below the home folder
MARK = "pragma: allowlist secret"  # detect-secrets' own mark
_NAME = re.compile("KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_NAMED = re.compile(  # what a file of credentials says of a name: an address or a heading is none
    r"""(?:(?:key|token|secret|passw(?:or)?d|auth|credentials?)["']?[ \t]*[=:]|\bpassword\s)\s*"""
    r"""(?!["']?(?:https?:|-----))(?:"([^"\n]+)"|'([^'\n]+)'|([^\s"'{\[]\S+))""",
    re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"://[^\s:@/]*:([^\s@/]+)@")
_LONG = re.compile(r"(?:(?=\w*\d)\w{24,}|[A-Za-z0-9+/]{40,}={0,2})")  # lines of a private key, too
_clean: set[tuple[str, str]] = set()  # scanned before: the library is in every kernel


class SecretFound(ValueError):
    """A kernel that would give away a secret, or something of the machine that builds it."""


def check_no_secrets(library: dict[str, str], own: dict[str, str]) -> None:
    """Refuse a kernel that holds a secret, or a name or path of this machine.

    Args:
        library: texts by file name that are the same in each kernel.
        own: those of this entry, where the login name is looked for as well, unless it is a word
            of the library, as user and root are.

    Raises:
        SecretFound: names file, line and kind, and not the secret.
    """
    files = {**library, **own}
    for kind, secrets in _of_this_machine().items():
        for secret in secrets:
            _check_absent(kind, secret, files)
    with suppress(OSError, KeyError):  # a number without a name, as in some containers
        login = getpass.getuser()
        if not any(re.search(rf"\b{re.escape(login)}\b", text) for text in library.values()):
            _check_absent("the login name of this machine", login, own)
    _scan({file: text for file, text in files.items() if (file, text) not in _clean})
    _clean.update(files.items())


def _of_this_machine() -> dict[str, list[str]]:
    """Kinds and texts that nobody can tell by their looks."""
    secrets = [value.strip() for name, value in os.environ.items() if _NAME.search(name)]
    home, chosen = paths.home(), os.environ.get("KAGGLE_CONFIG_DIR", ".")
    files = [Path(value) for value in secrets]  # where a variable names one
    files += [Path(chosen, name) for name in ("kaggle.json", "access_token")]
    files += [file for name in CREDENTIALS for file in home.glob(name)] if home else []
    for file in files:
        with suppress(OSError):  # not ours to read, or no name of a file
            if file.is_file():
                secrets += _secrets_of(file.read_text("utf-8", "replace"))
                secrets = [secret for secret in secrets if secret != str(file)]
    # /tmp or /work would be found in any text.
    places = [path for path in (paths.project(), Path(__file__).parents[3]) if len(path.parts) > 2]
    places += [home] if home and home.name else []
    return {
        "a key, token or password of this machine": [
            secret for secret in secrets if len(secret) >= SHORTEST
        ],
        "a path of this machine": [str(path) for path in places],
    }


def _secrets_of(text: str) -> list[str]:
    """The secrets in a file of credentials, of any format: words such as machine are none."""
    text = re.sub(r"(?m)^\s*[#;].*", "", text)
    in_addresses = [unquote(found) for found in _IN_ADDRESS.findall(text)]
    is_token = len(text.split()) == 1  # and nothing else
    named = map("".join, _NAMED.findall(text))
    return [*named, *_LONG.findall(text), *in_addresses, *([text.strip()] if is_token else [])]


def _check_absent(kind: str, secret: str, files: dict[str, str]) -> None:
    pattern = re.compile(rf"(?<![a-z0-9]){re.escape(secret)}(?![a-z0-9])", re.IGNORECASE)
    for file, text in files.items():
        if found := pattern.search(text):
            raise _found(file, text.count("\n", 0, found.start()) + 1, kind)


def _scan(files: dict[str, str]) -> None:
    """Let detect-secrets and our own rules look through each file; nothing is verified online."""
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import default_settings

    remedy = f"Take it out (or, if it is none, end the line with # {MARK})"
    with tempfile.TemporaryDirectory() as folder, default_settings() as settings:
        # It would pass all that stands in a call, as in Client("…").
        settings.disable_filters("detect_secrets.filters.heuristic.is_indirect_reference")
        for number, (file, text) in enumerate(files.items()):
            copy = Path(folder, f"{number}{Path(file).suffix}")
            copy.write_text(text, encoding="utf-8")
            secrets = SecretsCollection()
            secrets.scan_file(str(copy))
            for _, secret in secrets:
                raise _found(file, secret.line_number, secret.type, remedy)
            for line_number, line in enumerate(text.split("\n"), 1):
                if MARK not in line and (kind := find_secret(line)):
                    raise _found(file, line_number, kind, remedy)


def _found(file: str, line: int, kind: str, remedy: str = "Take it out") -> SecretFound:
    return SecretFound(
        f"{file}, line {line}: {kind}, which the kernel would give away. {remedy}, then build again"
    )
