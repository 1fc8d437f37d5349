"""Search for secrets in a kernel, which others may read: by detect-secrets, and for our own."""

import getpass
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from podium import paths

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
    """Kinds and texts that detect-secrets cannot recognize."""
    variables = [os.environ.get(name, "") for name in ("KAGGLE_KEY", "KAGGLE_API_TOKEN")]
    config = Path(os.environ.get("KAGGLE_CONFIG_DIR") or Path.home() / ".kaggle")
    files = [path for path in config.glob("*") if path.is_file()]
    credentials = [path.read_text("utf-8", "replace") for path in files]
    # /tmp or /work would be found in any text.
    folders = [path for path in (paths.project(), Path(__file__).parents[3]) if len(path.parts) > 2]
    return {
        "a Kaggle key or token of this machine": [
            *(value for value in variables if len(value) >= 8),
            *re.findall(r"\w{24,}", "\n".join(credentials)),
        ],
        "a path of this machine": [str(path) for path in (*folders, Path.home()) if path.name],
    }


def _check_absent(kind: str, secret: str, files: dict[str, str]) -> None:
    for file, text in files.items():
        if found := re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text):
            raise _found(file, text.count("\n", 0, found.start()) + 1, kind)


def _scan(files: dict[str, str]) -> None:
    """Let the plugins of detect-secrets look through each file; nothing is verified online."""
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import default_settings

    with tempfile.TemporaryDirectory() as folder, default_settings():
        for number, (file, text) in enumerate(files.items()):
            copy = Path(folder, f"{number}{Path(file).suffix}")
            copy.write_text(text, encoding="utf-8")
            secrets = SecretsCollection()
            secrets.scan_file(str(copy))
            for _, secret in secrets:
                raise _found(file, secret.line_number, secret.type)


def _found(file: str, line: int, kind: str) -> SecretFound:
    return SecretFound(
        f"{file}, line {line}: {kind}, which the kernel would give away. Take it out, then build "
        "again"
    )
