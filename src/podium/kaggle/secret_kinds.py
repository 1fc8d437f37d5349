"""What secrets look like that detect-secrets lets pass: tokens, and what stands beside a name."""

import math
import re
from collections import Counter
from collections.abc import Iterator

# Their tokens say themselves what they are, however little random the rest looks.
PREFIXES = (
    "hf_|github_pat_|gh[a-z]_|gl[a-z]{2,6}-|sk-|[rs]k_(?:live|test)_|whsec_|gsk_|r8_|xai-|npm_|"
    "pypi-|xox[a-z]-|xapp-|AIza|GOCSPX-|ya29[.]|1//0|SG[.]|key-|KGAT_|dapi|NRAK-|PMAK-|do[opr]_v1_|"
    "dckr_pat_|hvs[.]|shp[a-z]{2}_|figd_|ntn_|lin_api_|glsa_|AGE-SECRET-KEY-1"
)
NAMES = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|credential|auth(?:orization)?|"
    r"(?:api|access|account|auth|client|private|secret|signing|kaggle)[_-]?key)s?"
)
QUOTED = r"[\"'][^\"'\n]+[\"']"
KINDS = {
    "a token": rf"(?<![A-Za-z0-9])(?:{PREFIXES})[\w.~+/=-]{{16,}}",
    "a private key": r"BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-[F]ile",
    # What begins with a brace is a template that is filled in elsewhere.
    "a password in an address": r"://[^\s:@/{<$\"']*:[^\s@{<$\"']{3,}@|://[^\s:@/{<$\"']{16,}@",
    "an address that gives access": r"/api/webhooks/\d+/[\w-]{16,}|[?&]sig=[\w%+/-]{16,}",
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
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in KINDS.items()}
_LONG = re.compile(r"[A-Za-z0-9+/~_-]{20,}")
_HEX = re.compile(r"(?<![A-Za-z0-9])(?:0x|[a-z]{1,6}[_-]?)?(?:[0-9a-f]{32,}|[0-9A-F]{32,})(?!\w)")


def find_secrets(line: str) -> Iterator[str]:
    """The kinds of secrets that a line seems to hold."""
    for kind, pattern in _PATTERNS.items():
        if pattern.search(line):
            yield kind
    if any(_is_random(word) for word in _LONG.findall(line)) or _HEX.search(line):
        yield "what looks like a key"


def _is_random(word: str) -> bool:
    """Whether the signs come as if drawn: of several kinds, much mixed, few of them twice."""
    numbers = len(re.findall("[0-9]+", word))
    # With hyphens it may be a name with numbers: these are seldom in both cases of letters.
    letters = ["[a-z]", "[A-Z]"] if re.search("[^A-Za-z0-9]", word) else ["[A-Za-z]"]
    if not numbers or not all(re.search(kind, word) for kind in letters):
        return False
    mixed = "(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])"
    # More than in CamelCaseWithNumber1.
    is_mixed = len(re.findall(mixed, word)) > len(word) / (4 if numbers == 1 else 5)
    counts = Counter(word).values()
    entropy = -sum(count / len(word) * math.log2(count / len(word)) for count in counts)
    return is_mixed and entropy > 3.5
