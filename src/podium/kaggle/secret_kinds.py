"""What secrets look like that detect-secrets lets pass: tokens, and what stands beside a name."""

import re

NAMES = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|credential|auth(?:orization)?|"
    r"(?:api|access|account|auth|client|private|secret|signing|kaggle)[_-]?key)s?"
)
QUOTED = r"[\"'][^\"'\n]+[\"']"
KINDS = {
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
        rf"(?i)(?:{NAMES}(?:_?\d+)?[\"']?\]?\s*(?::[\w\s|\[\].]{{1,40}})?[:=]=?"
        rf"|\([\"'][\w.-]*{NAMES}[\"']\s*,)\s*[rbf]?"
        r"(?P<quote>[\"']{1,3})(?![{<$/]|(?-i:[A-Z_]+)[\"'])[^\"'\n]{6,}(?P=quote)"
    ),
    # In comments, options and files of other programs; what has a digit is no word.
    "a secret after its name": (
        rf"(?i){NAMES}[\"']?\s*(?:[:=]|\bis\b|\s)\s*"
        r"(?=[^\s\"'(),;]*\d)[^\s\"'(){}\[\],;<>]{8,}(?![(\[])"
        r"|#.*(?:password|passwd|pwd)\s*[:=]\s*[^\s\"'()]{6,}\s*$"
    ),
    "a login": (
        r"(?i)\b(?:basic|bearer)\s+(?=[\w.~+/-]*\d)[\w.~+/=-]{16,}|\s-u\s*[\w.-]+:[^\s\"']{4,}"
        rf"|\b(?:auth\s*=\s*|login)\(\s*{QUOTED},\s*{QUOTED}"
    ),
}


def find_secret(line: str) -> str | None:
    """The kind of secret that a line seems to hold, if any."""
    words = re.findall(r"[A-Za-z0-9]{20,}", line) + re.findall(r"[A-Za-z0-9+/~_-]{20,}", line)
    is_key = any(map(_is_random, words))
    found = (kind for kind, pattern in KINDS.items() if re.search(pattern, line))
    return next(found, "what looks like a key" if is_key else None)


def _is_random(word: str) -> bool:
    """Whether letters and digits come as if drawn, mixed more than in CamelCaseWithNumber1."""
    numbers = len(re.findall("[0-9]+", word))
    mixed = "(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])"
    # With hyphens it may be a name with numbers: these are seldom in both cases of letters.
    letters = ["[a-z]", "[A-Z]"] if re.search("[^A-Za-z0-9]", word) else ["[A-Za-z]"]
    is_mixed = len(re.findall(mixed, word)) > len(word) / (4 if numbers == 1 else 5)
    return numbers > 0 and is_mixed and all(re.search(kind, word) for kind in letters)
