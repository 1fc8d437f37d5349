"""Tables and recipes that are not as they should be: each works, or says what to do about it.

A table in every form that spreadsheets, hands and mistakes give it, as training table, as sample
submission, as submission and as truth; then a recipe with every key wrong in turn. An error is
right if it is a ValueError of one line that names the file, shows what came, and has a verb that
says what to do. Folders that are not as they should be are in tests/competitions/test_layouts.py.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.competitions import get_competition
from podium.competitions.submission import check_submission_file
from podium.predictions.score import score_files
from robustness.figures import Figure
from robustness.wrong_recipes import complaint, every_key, every_wrong_recipe

TO_DO = re.compile(
    r"\b(save|unpack|write|delete|remove|rename|keep|give|put|mend|fix|correct|quote|fill|take|use"
    r"|choose|add|leave|get|make)\b",
    re.IGNORECASE,
)
LONGEST = 700  # characters of a message
EVERY = 4  # wrong recipes, of which the sample tries one
NAMES = ["907.jpg", "13.jpg", "my café 1.jpg", *(f"{number}.jpg" for number in range(40, 47))]
HEADER = "Id,Category\n"
SOUND = HEADER + "".join(f"{name},{number}\n" for number, name in enumerate(NAMES))
TEXT = SOUND.encode()
BOM = b"\xef\xbb\xbf"
SKIP = ""  # for a reader that another test tries with this

HARMLESS = {
    "as written": SOUND,
    "CRLF": SOUND.replace("\n", "\r\n"),
    "CR": SOUND.replace("\n", "\r"),
    "no last line end": SOUND.rstrip(),
    "empty lines": SOUND.replace("\n", "\n\n"),
    "quotes": re.sub(r"([^,\n]+)", r'"\1"', SOUND),
}
# What no reader takes, and what each has to show of it.
WRONG = {
    "semicolons": (SOUND.replace(",", ";").encode(), "semicolons"),
    "tabs, BOM, CRLF": (
        BOM + SOUND.replace(",", "\t").replace("\n", "\r\n").encode(),
        "tabs",
    ),
    "bars": (SOUND.replace(",", "|").encode(), "bars"),
    "an empty file": (b"", "came ''"),
    "a BOM alone": (BOM, "came ''"),
    "line ends alone": (b"\n\n\r\n", "came ''"),
    "no rows": (HEADER.encode(), "no rows"),
    "no header": (TEXT.removeprefix(HEADER.encode()), "'907.jpg,0'"),
    "other columns": (TEXT.replace(b"Id,Category", b"name,class,x"), "'name,class,x'"),
    "one column": (b"Id\n907.jpg\n13.jpg\n", "came 'Id'"),
    "a column twice": (TEXT.replace(b"Id,Category", b"Id,Id,Category"), "'Id,Id,Category'"),
    "a row with a cell more": (TEXT.replace(b"13.jpg,1", b"13.jpg,1,1"), "3"),
    "a first row with a cell more": (TEXT.replace(b"907.jpg,0", b"907.jpg,0,0"), "2"),
    "a row with a cell less": (TEXT.replace(b"13.jpg,1", b"13.jpg"), "3"),
    "a row of commas": (TEXT.replace(b"13.jpg,1", b",,,"), "3"),
    "no id": (TEXT.replace(b"13.jpg,1", b",1"), "3"),
    "an id of spaces": (TEXT.replace(b"13.jpg,1", b"  ,1"), "3"),
    "no answer": (TEXT.replace(b"13.jpg,1", b"13.jpg,"), "3"),
    "a row twice": (TEXT.replace(b"13.jpg,1\n", b"13.jpg,1\n" * 2), "13.jpg"),
    "an id twice": (TEXT.replace(b"13.jpg,1\n", b"13.jpg,1\n13.jpg,2\n"), "13.jpg"),
    "a space after an id": (TEXT.replace(b"13.jpg", b"13.jpg "), "spaces around"),
    "a fixed space after an id": (TEXT.replace(b"13.jpg", b"13.jpg\xc2\xa0"), "spaces around"),
    "Latin-1": (SOUND.encode("latin-1"), "line 4 has the byte 0xe9"),
    "UTF-16": (SOUND.encode("utf-16"), "not a CSV"),
    "UTF-16 without BOM": (SOUND.encode("utf-16-le"), "not a CSV"),
    "a zip": (b"PK\x03\x04" + bytes(range(256)), "not a CSV"),
    "a gzip": (b"\x1f\x8b\x08" + bytes(range(256)), "not a CSV"),
    "an old spreadsheet": (b"\xd0\xcf\x11\xe0" + bytes(100), "not a CSV"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a CSV"),
    "noise": (bytes(range(255, 0, -1)), "not a CSV"),
    "zeros": (bytes(1000), "not a CSV"),
    "an open quote": (TEXT.replace(b"13.jpg", b'"13.jpg'), "a quote is opened"),
    "a quote within": (TEXT.replace(b"13.jpg", b'"13".jpg'), "line 3"),
    "a cell without end": (HEADER.encode() + b"x" * 200_000 + b",1\n", "line 2"),
    "a page": (b"<!DOCTYPE html>\n<html><head><title>Sign in</title>", "'<!DOCTYPE html>'"),
    "JSON": (b'{"Id": "13.jpg"}\n', "13.jpg"),
}
# What one reader takes and another does not: what the training table's, the sample submission's
# and the submission's reader show of it; None where it is read.
ODD: dict[str, tuple[str, str | None, str | None, str | None]] = {
    "columns swapped": (
        re.sub(r"(?m)^(.+),(.+)$", r"\2,\1", SOUND), None, None, "came 'Category,Id'",
    ),
    "a column more": (SOUND.replace("\n", ",x\n"), None, None, "came 'Id,Category,x'"),
    "spaces after commas": (SOUND.replace(",", ", "), None, None, "came 'Id, Category'"),
    "a space before an id": (SOUND.replace("13.jpg", " 13.jpg"), None, None, "spaces around"),
    "accents in the other form": (
        unicodedata.normalize("NFD", SOUND), SKIP, SKIP, "the form of their accents",
    ),
    "capitals": (SOUND.replace("13.jpg", "13.JPG"), SKIP, "capital letters", "capital letters"),
    "no endings": (SOUND.replace(".jpg", ""), SKIP, "the ending", "the ending"),
    "another id": (SOUND.replace("13.jpg", "14.jpg"), SKIP, "14.jpg", "14.jpg"),
    "a row less": (SOUND.replace("13.jpg,1\n", ""), SKIP, "13.jpg", "13.jpg"),
    "no such class": (SOUND.replace("13.jpg,1", "13.jpg,10"), "came 10", None, "'10'"),
    "a class by its name": (SOUND.replace("13.jpg,1", "13.jpg,Ford"), "Ford", None, "'Ford'"),
    "a class as a fraction": (SOUND.replace("13.jpg,1", "13.jpg,1.0"), "1.0", None, "'1.0'"),
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """Something to read: it gives what it should, or an error that names a path and shows this."""

    what: str
    path: Path
    read: Callable[[], Any]
    result: Any
    shown: str | None  # None: it must work


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    read, refused = [], []
    for trial in trials(scratch):
        (read if trial.shown is None else refused).append((trial.what, judged(trial)))
    recipes = list(every_wrong_recipe())[:: EVERY if quick else 1]
    keys = [(wrong.what, complaint(wrong, scratch / "recipe.toml")) for wrong in recipes]
    tried = {wrong.key for wrong in recipes}
    left = sorted(set(every_key()) - tried)
    return [
        _unsaid("harmless differences that are not read", read),
        _unsaid("wrong tables without an error that says what to do", refused),
        _unsaid("wrong keys of recipes without such an error", keys),
        Figure.of_failures("keys of recipes that were not wrong in turn", left),
    ]


def forms() -> Iterator[tuple[str, bytes, str | None, str | None, str | None]]:
    """Each form of the sound table, and what each of three readers has to show of it."""
    for what, text in HARMLESS.items():
        yield what, text.encode(), None, None, None
        yield f"{what}, BOM", BOM + text.encode(), None, None, None
    for what, (content, shown) in WRONG.items():
        yield what, content, shown, shown, shown
    for what, (text, *shown_by_each) in ODD.items():
        yield what, text.encode(), *shown_by_each


def trials(scratch: Path) -> Iterator[Trial]:
    """Each form as train.csv, as a sample submission, as a submission and as the truth."""
    cars, folder = get_competition("cars"), scratch / "sf-dl-car-classification"
    images = folder / "test" / "test_upload"
    images.mkdir(parents=True)
    (folder / "train" / "train").mkdir(parents=True)
    for name in NAMES:
        (images / name).touch()  # only names count here
    train, sample = folder / "train.csv", folder / "sample-submission.csv"
    mine, truth, right = (scratch / f"{name}.csv" for name in ("mine", "truth", "right"))
    right.write_text(SOUND, encoding="utf-8")
    sample.write_text(SOUND, encoding="utf-8")
    ids = cars.read_test(folder).index

    def read_training() -> list[str]:
        return cars.read_training(folder)["label"].sort_values().index.tolist()

    for what, content, shown_of_train, shown_of_sample, shown_of_submission in forms():
        for path in (train, sample, mine, truth):
            path.write_bytes(content)
        tests = [
            (train, read_training, NAMES, shown_of_train),
            (sample, lambda: cars.read_test(folder).index.tolist(), NAMES, shown_of_sample),
            (mine, lambda: check_submission_file(cars, mine, ids), 10, shown_of_submission),
        ]
        if shown_of_train == shown_of_sample == shown_of_submission:
            tests.append((truth, lambda: score_files(right, truth).value, 1.0, shown_of_sample))
        for path, read, result, shown in tests:
            if shown != SKIP:
                yield Trial(f"{path.name}: {what}", path, read, result, shown)


def judged(trial: Trial) -> str:
    """What is wrong with how a trial ends; "" if nothing."""
    try:
        result = trial.read()
    except ValueError as error:
        message = str(error)
    except Exception as error:  # whatever else it is, it is a finding
        return f"{type(error).__name__}: {error}"
    else:
        if trial.shown is not None:
            return f"was taken: {str(result)[:200]}"
        return "" if result == trial.result else f"came {result!r}, not {trial.result!r}"
    about = message.replace(str(trial.path), "")
    lacks = {
        "no error": trial.shown is not None,
        f"the path {trial.path}": about != message,
        f"what came, {trial.shown!r}": (trial.shown or "") in about,
        "what to do": TO_DO.search(about),
        "one line": "\n" not in message and len(message) <= LONGEST,
    }
    absent = [what for what, is_there in lacks.items() if not is_there]
    return f"{message[:400]!r} lacks {', '.join(absent)}" if absent else ""


def _unsaid(what: str, outcomes: list[tuple[str, str]]) -> Figure:
    bad = [f"{name}: {problem}" for name, problem in outcomes if problem]
    return Figure.of_failures(what, bad, len(outcomes))
