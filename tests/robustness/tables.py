"""Tables and recipes that are not as they should be: each works, or says what to do about it.

A table in every form that spreadsheets, hands and mistakes give it, as training table, as sample
submission, as submission and as truth; then a recipe with every key wrong in turn. An error is
right if it is a ValueError of one line that names the file, shows what came, and has a verb that
says what to do. What only one of the readers refuses is in tests/competitions.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from podium.competitions import get_competition
from podium.competitions.submission import check_submission_file
from podium.predictions.score import score_files
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import RecipeError, parse_recipe
from robustness.figures import Figure

TO_DO = re.compile(
    r"\b(save|unpack|write|delete|remove|rename|keep|give|put|mend|fix|correct|quote|fill|take|use"
    r"|choose|add|leave|get|make)\b",
    re.IGNORECASE,
)
LONGEST = 700  # characters of a message
NAMES = ["907.jpg", "13.jpg", "my café 1.jpg", *(f"{number}.jpg" for number in range(40, 47))]
HEADER = "Id,Category\n"
SOUND = HEADER + "".join(f"{name},{number}\n" for number, name in enumerate(NAMES))
TEXT = SOUND.encode()
BOM = b"\xef\xbb\xbf"

HARMLESS = {
    "as written": SOUND,
    "CRLF": SOUND.replace("\n", "\r\n"),
    "CR": SOUND.replace("\n", "\r"),
    "no last line end": SOUND.rstrip(),
    "empty lines": SOUND.replace("\n", "\n\n"),
    "quotes": re.sub(r"([^,\n]+)", r'"\1"', SOUND),
}
# What no reader takes, and what each has to show of it.
WRONG: dict[str, tuple[bytes, str]] = {
    "semicolons": (TEXT.replace(b",", b";"), "semicolons"),
    "tabs, BOM, CRLF": (BOM + TEXT.replace(b",", b"\t").replace(b"\n", b"\r\n"), "tabs"),
    "an empty file": (b"", "came ''"),
    "line ends alone": (b"\n\n\r\n", "came ''"),
    "no rows": (HEADER.encode(), "no rows"),
    "no header": (TEXT.removeprefix(HEADER.encode()), "'907.jpg,0'"),
    "other columns": (TEXT.replace(b"Id,Category", b"name,class,x"), "'name,class,x'"),
    "one column": (b"Id\n907.jpg\n13.jpg\n", "came 'Id'"),
    "a column twice": (TEXT.replace(b"Id,Category", b"Id,Id,Category"), "'Id,Id,Category'"),
    "a space after an id": (TEXT.replace(b"13.jpg", b"13.jpg "), "13.jpg "),
    "a fixed space after an id": (TEXT.replace(b"13.jpg", b"13.jpg\xc2\xa0"), "13.jpg\\xa0"),
    "Latin-1": (SOUND.encode("latin-1"), "line 4 has the byte 0xe9"),
    "an open quote": (TEXT.replace(b"13.jpg", b'"13.jpg'), "a quote is opened"),
    "a quote within": (TEXT.replace(b"13.jpg", b'"13".jpg'), "line 3"),
    "a cell without end": (HEADER.encode() + b"x" * 200_000 + b",1\n", "line 2"),
    "a page": (b"<!DOCTYPE html>\n<html><head><title>Sign in</title>", "'<!DOCTYPE html>'"),
    "JSON": (b'{"Id": "13.jpg"}\n', "13.jpg"),
}
# Its third line in another form, and what each reader has to show of it.
WRONG_ROWS = {
    "13.jpg,1,1": "3", "13.jpg": "3", ",,,": "3", ",1": "3", "  ,1": "3", "13.jpg,": "3",
    "13.jpg,1\n13.jpg,1": "13.jpg", "13.jpg,1\n13.jpg,2": "13.jpg",
}  # fmt: skip
NO_CSV = {
    "UTF-16": SOUND.encode("utf-16"),
    "UTF-16 without BOM": SOUND.encode("utf-16-le"),
    "a zip": b"PK\x03\x04" + bytes(range(256)),
    "a gzip": b"\x1f\x8b\x08" + bytes(range(256)),
    "an old spreadsheet": b"\xd0\xcf\x11\xe0" + bytes(100),
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "noise": bytes(range(255, 0, -1)),
    "zeros": bytes(1000),
}


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    read, refused = [], []
    for what, content, shown in forms():
        (read if shown is None else refused).extend(tried(what, content, shown, scratch))
    keys = [(key, complaint(key, value)) for key, value in wrong_keys(Recipe.model_json_schema())]
    return [
        _unsaid("harmless differences that are not read", read),
        _unsaid("wrong tables without an error that says what to do", refused),
        _unsaid("wrong keys of recipes without such an error", keys),
    ]


def forms() -> Iterator[tuple[str, bytes, str | None]]:
    """Each form of the sound table, and what an error must show of it; None where it is read."""
    for what, text in HARMLESS.items():
        yield what, text.encode(), None
        yield f"{what}, BOM", BOM + text.encode(), None
    for what, (content, shown) in WRONG.items():
        yield what, content, shown
    for row, shown in WRONG_ROWS.items():
        yield f"the row {row!r}", SOUND.replace("13.jpg,1", row).encode(), shown
    for what, content in NO_CSV.items():
        yield what, content, "not a CSV"


def tried(what: str, content: bytes, shown: str | None, scratch: Path) -> Iterator[tuple[str, str]]:
    """Read a form as train.csv, as sample submission, as submission and as truth.

    Yields:
        What was read, and what is wrong with how that ended; "" if nothing.
    """
    cars, folder = get_competition("cars"), scratch / "sf-dl-car-classification"
    images = folder / "test" / "test_upload"
    if not images.is_dir():
        images.mkdir(parents=True)
        (folder / "train" / "train").mkdir(parents=True)
        for name in NAMES:
            (images / name).touch()  # only names count here
    train, sample = folder / "train.csv", folder / "sample-submission.csv"
    mine, truth, right = (scratch / f"{name}.csv" for name in ("mine", "truth", "right"))
    right.write_text(SOUND, encoding="utf-8")
    sample.write_text(SOUND, encoding="utf-8")
    ids = cars.read_test(folder).index
    readers: dict[Path, tuple[Callable[[], Any], Any]] = {
        train: (lambda: cars.read_training(folder)["label"].sort_values().index.tolist(), NAMES),
        sample: (lambda: cars.read_test(folder).index.tolist(), NAMES),
        mine: (lambda: check_submission_file(cars, mine, ids), len(NAMES)),
        truth: (lambda: score_files(right, truth).value, 1.0),
    }
    for path in readers:
        path.write_bytes(content)
    for path, (read, expected) in readers.items():
        yield f"{path.name}: {what}", judged(path, read, expected, shown)


def judged(path: Path, read: Callable[[], Any], expected: Any, shown: str | None) -> str:
    """What is wrong with how reading a table ends; "" if nothing."""
    try:
        result = read()
    except ValueError as error:
        message = str(error)
    except Exception as error:  # whatever else it is, it is a finding
        return f"{type(error).__name__}: {error}"
    else:
        return "" if shown is None and result == expected else f"came {str(result)[:200]}"
    about = message.replace(str(path), "")
    lacks = {
        "no error": shown is not None,
        f"the path {path}": about != message,
        f"what came, {shown!r}": (shown or "") in about,
        "what to do": TO_DO.search(about),
        "one line": "\n" not in message and len(message) <= LONGEST,
    }
    absent = [what for what, is_there in lacks.items() if not is_there]
    return f"{message[:400]!r} lacks {', '.join(absent)}" if absent else ""


def wrong_keys(
    schema: dict, table: dict | None = None, place: str = ""
) -> Iterator[tuple[str, object]]:
    """Each key of a recipe: misspelled, of a wrong type, and beyond its bounds."""
    for name, about in (table or schema)["properties"].items():
        kinds = about.get("anyOf", [about])
        yield f"{place}{name}s", 1
        yield f"{place}{name}", {"no": "such table"}
        for kind in kinds:
            for bound, sign in (("minimum", -1), ("maximum", 1)):
                limit = kind.get(bound, kind.get(f"exclusive{bound.capitalize()}"))
                if limit is not None:
                    yield f"{place}{name}", limit + sign
            inner = kind.get("items", kind).get("$ref", "").rpartition("/")[2]
            if inner and "properties" in schema["$defs"][inner]:
                number = "0." if "items" in kind else ""
                yield from wrong_keys(schema, schema["$defs"][inner], f"{place}{name}.{number}")


def complaint(key: str, value: object) -> str:
    """What is wrong with the error about a recipe with this value; "" if nothing."""
    stage: dict[str, Any] = {"unfreeze": "head", "epochs": 1, "learning_rate": 0.1}
    recipe = {"competition": "cars", "backbone": "resnet-small", "stages": [stage]}
    *steps, name = key.split(".")
    table: Any = recipe
    for step in steps:
        if step == "pseudo":
            table[step] = {"from": "a-run"}
        table = table[int(step)] if step.isdigit() else table.setdefault(step, {})
    table[name] = value
    try:
        parse_recipe(recipe, "here")
    except RecipeError as error:
        message = str(error)
        is_right = message.startswith(f"here: {key}") and "\n" not in message
        return "" if is_right and len(message) <= LONGEST else message
    except Exception as error:  # whatever else it is, it is a finding
        return f"{type(error).__name__}: {error}"
    return f"{key} = {value!r} was taken"


def _unsaid(what: str, outcomes: list[tuple[str, str]]) -> Figure:
    bad = [f"{name}: {problem}" for name, problem in outcomes if problem]
    return Figure.of_failures(what, bad, len(outcomes))
