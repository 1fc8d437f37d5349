"""Search for secrets in a kernel, which others may read: by their looks, and for our own."""

import getpass
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from podium import paths

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
_WORDS = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|credential|auth(?:orization)?|"
    r"(?:api|access|account|auth|client|private|secret|signing|kaggle)[_-]?key)s?"
)
_QUOTED = r"[\"'][^\"'\n]+[\"']"
_KINDS = {  # of what detect-secrets lets pass
    # These say themselves what they are, however little random or long the rest looks.
    "a token": (
        r"(?<![A-Za-z0-9])(?:hf_|gh[a-z]_|gl[a-z]{2,6}-|sk-|[rs]k_(?:live|test)_|xox[a-z]-|npm_|AIza|"
        r"GOCSPX-|1//0|KGAT_|dckr_pat_|shp[a-z]{2}_)[\w.~+/=-]{16,}|BEGIN ENCRYPTED PRIVATE[ ]KEY"
    ),
    # What begins with a brace is a template that is filled in elsewhere.
    "a password in an address": r"://[^\s:@/{<$\"']*:[^\s@{<$\"']{3,}@|://[^\s:@/{<$\"']{16,}@",
    # name = "…", "name": "…", name: str = "…", environ["name"] = "…", setdefault("name", "…"); what
    # is in capitals names another place, a variable of the environment.
    "a secret beside its name": (
        rf"(?i)(?:{_WORDS}(?:_?\d+)?[\"']?\]?\s*(?::[\w\s|\[\].]{{1,40}})?[:=]=?"
        rf"|\([\"'][\w.-]*{_WORDS}[\"']\s*,)\s*[rbf]?"
        r"(?P<quote>[\"']{1,3})(?![{<$/]|(?-i:[A-Z_]+)[\"'])[^\"'\n]{6,}(?P=quote)"
    ),
    # In comments, options and files of other programs; what has a digit is no word.
    "a secret after its name": (
        rf"(?i){_WORDS}[\"']?\s*(?:[:=]|\bis\b|\s)\s*"
        r"(?=[^\s\"'(),;]*\d)[^\s\"'(){}\[\],;<>]{8,}(?![(\[])"
        r"|#.*(?:password|passwd|pwd)\s*[:=]\s*[^\s\"'()]{6,}\s*$"
    ),
    "a login": (
        r"(?i)\b(?:basic|bearer)\s+(?=[\w.~+/-]*\d)[\w.~+/=-]{16,}|\s-u\s*[\w.-]+:[^\s\"']{4,}"
        rf"|\b(?:auth\s*=\s*|login)\(\s*{_QUOTED},\s*{_QUOTED}"
    ),
}
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


def find_secret(line: str) -> str | None:
    """The kind of secret that a line seems to hold, if any."""
    words = re.findall(r"[A-Za-z0-9]{20,}", line) + re.findall(r"[A-Za-z0-9+/~_-]{20,}", line)
    is_key = any(map(_is_random, words))
    found = (kind for kind, pattern in _KINDS.items() if re.search(pattern, line))
    return next(found, "what looks like a key" if is_key else None)


def _is_random(word: str) -> bool:
    """Whether letters and digits come as if drawn, mixed more than in CamelCaseWithNumber1."""
    numbers = len(re.findall("[0-9]+", word))
    mixed = "(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])"
    # With hyphens it may be a name with numbers: these are seldom in both cases of letters.
    letters = ["[a-z]", "[A-Z]"] if re.search("[^A-Za-z0-9]", word) else ["[A-Za-z]"]
    is_mixed = len(re.findall(mixed, word)) > len(word) / (4 if numbers == 1 else 5)
    return numbers > 0 and is_mixed and all(re.search(kind, word) for kind in letters)


def _found(file: str, line: int, kind: str, remedy: str = "Take it out") -> SecretFound:
    return SecretFound(
        f"{file}, line {line}: {kind}, which the kernel would give away. {remedy}, then build again"
    )
