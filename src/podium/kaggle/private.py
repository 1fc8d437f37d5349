"""What must not be in a kernel, which others may read: credentials, names and paths of here."""

import getpass
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from podium import paths

CREDENTIALS = ("kaggle.json", "credentials.json", "access_token", "access_token.txt")
VARIABLES = ("KAGGLE_KEY", "KAGGLE_API_TOKEN")
SHORTEST = 8  # characters of a secret: a shorter one would be found in any text
# As they look, whoever they belong to.
PATTERNS = {
    "a Kaggle token": r"KGAT_[0-9A-Za-z]{16}",
    "a Kaggle key": r"""["']key["']\s*:\s*["'][0-9a-f]{32}["']""",
    "a GitHub token": r"gh[pousr]_[0-9A-Za-z]{30}|github_pat_[0-9A-Za-z_]{30}",
    "a Hugging Face token": r"hf_[0-9A-Za-z]{30}",
    "an AWS key": r"AKIA[0-9A-Z]{16}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a path of somebody's home": r"/(?:home|Users)/[A-Za-z0-9_.-]+/|[A-Z]:\\+Users\\+[A-Za-z0-9]",
}
# Logins that say nothing of a person.
ANYBODY = {
    "admin", "app", "build", "codespace", "debian", "docker", "jovyan", "kaggle", "node", "podium",
    "root", "runner", "test", "ubuntu", "user", "vscode",
}  # fmt: skip


class PrivateContent(ValueError):
    """Something of this machine or its user that a kernel would give away."""


def check_nothing_private(
    files: dict[str, bytes], owner: str | None = None, ours: bool = False
) -> None:
    """Refuse a kernel that would give away what is of this machine only.

    Args:
        files: what is packed, by name.
        owner: of the kernel, whose name may be in it.
        ours: they are written for this entry alone: there, names of users are looked for as well,
            which are words like any other in the code of a library.

    Raises:
        PrivateContent: names the file and the line, and not the secret.
    """
    looked_for = {
        **{what: re.compile(pattern.encode()) for what, pattern in PATTERNS.items()},
        **{f"the credentials of {place}": _exactly(text) for text, place in _secrets()},
        **{what: _exactly(path) for path, what in _paths()},
        **({what: _exactly(name) for name, what in _names(owner)} if ours else {}),
    }
    for file, content in files.items():
        for what, pattern in looked_for.items():
            if found := pattern.search(content):
                line = content.count(b"\n", 0, found.start()) + 1
                raise PrivateContent(
                    f"{file}, line {line}: holds {what}, which the kernel would give away. Take "
                    "it out, then build again"
                )


def _exactly(text: str) -> re.Pattern[bytes]:
    """The text, not as a part of a longer word."""
    return re.compile(rb"(?<![A-Za-z0-9_])" + re.escape(text.encode()) + rb"(?![A-Za-z0-9_])")


def _secrets() -> Iterator[tuple[str, str]]:
    """The credentials that the Kaggle client would use here, and where each is."""
    for name in VARIABLES:
        if len(value := os.environ.get(name, "").strip()) >= SHORTEST:
            yield value, name
    for path in (folder / name for folder in _config_folders() for name in CREDENTIALS):
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):  # there is none, or the client could not read it
            continue
        for secret in _values(text):
            if len(secret) >= SHORTEST:
                yield secret, str(path)


def _values(text: str) -> list[str]:
    """What is secret in a file of credentials: all of it, or the values of a JSON but the name."""
    try:
        data = json.loads(text)
    except ValueError:
        return [text]
    if not isinstance(data, dict):
        return [text]
    return [str(value) for key, value in data.items() if "key" in key or "token" in key]


def _config_folders() -> list[Path]:
    chosen = os.environ.get("KAGGLE_CONFIG_DIR")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [*([Path(chosen)] if chosen else []), Path.home() / ".kaggle", config / "kaggle"]


def _paths() -> Iterator[tuple[str, str]]:
    """Folders of this machine; / or /work would be found in any text."""
    if len(Path.home().parts) > 1:
        yield str(Path.home()), "the path of the home folder"
    checkout = Path(__file__).parents[3]
    for path in {paths.project(), checkout, Path.cwd()}:
        if len(path.parts) > 2:
            yield str(path), f"the path {path}"


def _names(owner: str | None) -> Iterator[tuple[str, str]]:
    """Who works here, but for the owner of the kernel."""
    names = {"the login name of this machine": _login(), "a Kaggle user name": _kaggle_user()}
    for what, name in names.items():
        if len(name) > 2 and name.lower() not in {*ANYBODY, (owner or "").lower()}:
            yield name, f"{what} ({name})"


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a number without a name, as in some containers
        return ""


def _kaggle_user() -> str:
    """The user that the credentials of this machine name, without a call."""
    if name := os.environ.get("KAGGLE_USERNAME"):
        return name
    for folder in _config_folders():
        try:
            return str(json.loads((folder / "kaggle.json").read_text(encoding="utf-8"))["username"])
        except (OSError, ValueError, KeyError, TypeError):  # there is none, or no name in it
            continue
    return ""
