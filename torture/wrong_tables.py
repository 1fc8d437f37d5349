"""Tables in every form that spreadsheets, hands and mistakes give them, for each of its readers."""

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.competitions import get_competition
from podium.competitions.submission import check_submission_file
from podium.predictions.score import score_files

NAMES = ["907.jpg", "13.jpg", "my café 1.jpg", *(f"{number}.jpg" for number in range(40, 47))]
HEADER = "Id,Category\n"
SOUND = HEADER + "".join(f"{name},{number}\n" for number, name in enumerate(NAMES))
ELSEWHERE = ""  # what comes of it is tried in wrong_layouts.py
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Trial:
    """Something to read: it gives what it should, or an error that names a path and shows this."""

    what: str
    read: Callable[[], Any]
    result: Any = None
    path: Path = Path()
    shown: str | None = None  # None: it must work


@dataclass(frozen=True)
class Form:
    """A form of the sound table, and what each reader's error shows of it; None: it is read."""

    what: str
    content: bytes
    train: str | None = None
    sample: str | None = None
    submission: str | None = None


def trials(scratch: Path) -> Iterator[Trial]:
    """Each form as train.csv, as a sample submission, as a submission and as the truth."""
    cars, folder = get_competition("cars"), scratch / "sf-dl-car-classification"
    tests = folder / "test" / "test_upload"
    tests.mkdir(parents=True)
    (folder / "train" / "train").mkdir(parents=True)
    for name in NAMES:
        (tests / name).touch()  # only names count here
    train, sample = folder / "train.csv", folder / "sample-submission.csv"
    mine, truth, right = (scratch / f"{name}.csv" for name in ("mine", "truth", "right"))
    right.write_text(SOUND, encoding="utf-8")
    for form in forms():
        for path in (train, sample, mine, truth):
            path.write_bytes(form.content)
        labels = lambda: cars.read_training(folder)["label"].sort_values().index.tolist()  # noqa: E731
        if form.train != ELSEWHERE:
            yield Trial(f"train.csv: {form.what}", labels, NAMES, train, form.train)
        tests = lambda: cars.read_test(folder).index.tolist()  # noqa: E731
        if form.sample != ELSEWHERE:
            yield Trial(f"sample submission: {form.what}", tests, NAMES, sample, form.sample)
        sample.write_text(SOUND, encoding="utf-8")
        ids = cars.read_test(folder).index
        yield Trial(
            f"submission: {form.what}",
            lambda ids=ids: check_submission_file(cars, mine, ids),
            len(NAMES),
            mine,
            form.submission,
        )
        if form.train == form.sample == form.submission:
            score = lambda: score_files(right, truth).value  # noqa: E731
            yield Trial(f"truth: {form.what}", score, 1.0, truth, form.sample)


def forms() -> Iterator[Form]:
    yield from _harmless()
    for what, content, shown in _nowhere():
        yield Form(what, content, shown, shown, shown)
    yield from _odd_cells()


def _harmless() -> Iterator[Form]:
    for what, text in {
        "as written": SOUND,
        "CRLF": SOUND.replace("\n", "\r\n"),
        "CR": SOUND.replace("\n", "\r"),
        "no last line end": SOUND.rstrip(),
        "empty lines": SOUND.replace("\n", "\n\n"),
        "quotes": "".join(
            ",".join(f'"{cell}"' for cell in line.split(",")) + "\n" for line in SOUND.splitlines()
        ),
    }.items():
        yield Form(what, text.encode())
        yield Form(f"{what}, BOM", BOM + text.encode())


def _nowhere() -> Iterator[tuple[str, bytes, str]]:
    """What no reader takes, with what each has to say."""
    text = SOUND.encode()
    for sign, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        yield name, SOUND.replace(",", sign).encode(), name
        yield f"{name}, BOM, CRLF", BOM + SOUND.replace(",", sign).encode(), name
    yield "an empty file", b"", "came ''"
    yield "a BOM alone", BOM, "came ''"
    yield "line ends alone", b"\n\n\r\n", "came ''"
    yield "no rows", HEADER.encode(), "no rows"
    yield "no header", SOUND.removeprefix(HEADER).encode(), "'907.jpg,0'"
    yield "other columns", text.replace(b"Id,Category", b"name,class,x"), "'name,class,x'"
    yield "one column", b"Id\n907.jpg\n13.jpg\n", "came 'Id'"
    yield "a column twice", text.replace(b"Id,Category", b"Id,Id,Category"), "'Id,Id,Category'"
    yield "a row with a cell more", text.replace(b"13.jpg,1", b"13.jpg,1,1"), "(3)"
    yield "a first row with a cell more", text.replace(b"907.jpg,0", b"907.jpg,0,0"), "(2)"
    yield "a row with a cell less", text.replace(b"13.jpg,1", b"13.jpg"), "(3)"
    yield "a row of commas", text.replace(b"13.jpg,1", b",,,"), "(3)"
    yield "no id", text.replace(b"13.jpg,1", b",1"), "3"
    yield "an id of spaces", text.replace(b"13.jpg,1", b"  ,1"), "3"
    yield "no answer", text.replace(b"13.jpg,1", b"13.jpg,"), "3"
    yield "a row twice", text.replace(b"13.jpg,1\n", b"13.jpg,1\n" * 2), "(13.jpg)"
    yield "an id twice", text.replace(b"13.jpg,1\n", b"13.jpg,1\n13.jpg,2\n"), "(13.jpg)"
    yield "a row thrice", text.replace(b"13.jpg,1\n", b"13.jpg,1\n" * 3), "(13.jpg)"
    yield "a space after an id", text.replace(b"13.jpg", b"13.jpg "), "spaces around"
    yield "a tab after an id", text.replace(b"13.jpg", b"13.jpg\t"), "spaces around"
    yield "a fixed space after an id", text.replace(b"13.jpg", b"13.jpg\xc2\xa0"), "spaces around"
    yield "Latin-1", SOUND.encode("latin-1"), "line 4 has the byte 0xe9"
    yield "UTF-16", SOUND.encode("utf-16"), "in UTF-16"
    yield "UTF-16 without BOM", SOUND.encode("utf-16-le"), "a binary file"
    yield "UTF-32", SOUND.encode("utf-32"), "UTF-16"
    yield "a zip", b"PK\x03\x04" + bytes(range(256)), "an archive or a spreadsheet"
    yield "a gzip", b"\x1f\x8b\x08" + bytes(range(256)), "an archive"
    yield "an old spreadsheet", b"\xd0\xcf\x11\xe0" + bytes(100), "a spreadsheet"
    yield "an image", b"\x89PNG\r\n\x1a\n" + bytes(100), "a binary file"
    yield "noise", bytes(range(255, 0, -1)), "not a CSV in UTF-8"
    yield "zeros", bytes(1000), "a binary file"
    yield "a zero within", text.replace(b"13", b"1\x003"), "a binary file"
    yield "an open quote", text.replace(b"13.jpg", b'"13.jpg'), "a quote is opened"
    yield "a quote within", text.replace(b"13.jpg", b'"13".jpg'), "line 3"
    yield "a cell without end", HEADER.encode() + b"x" * 200_000 + b",1\n", "line 2"
    yield "a page", b"<!DOCTYPE html>\n<html><head><title>Sign in</title>", "'<!DOCTYPE html>'"
    yield "JSON", b'{"Id": "13.jpg"}\n', "13.jpg"


def _odd_cells() -> Iterator[Form]:
    """What one reader takes and another does not."""

    def change(before: str, after: str) -> bytes:
        assert before in SOUND
        return SOUND.replace(before, after).encode()

    swapped = "".join(",".join(reversed(line.split(","))) + "\n" for line in SOUND.splitlines())
    yield Form("columns swapped", swapped.encode(), submission="came 'Category,Id'")
    more = "".join(f"{line},x\n" for line in SOUND.splitlines())
    yield Form("a column more", more.encode(), submission="came 'Id,Category,x'")
    yield Form("spaces after commas", change(",", ", "), submission="came 'Id, Category'")
    yield Form("a space before an id", change("13.jpg", " 13.jpg"), submission="spaces around")
    # Of the image it is known how the folder spells it, of a submission what Kaggle asks for.
    other = unicodedata.normalize("NFD", SOUND).encode()
    yield Form(
        "accents in the other form", other, ELSEWHERE, ELSEWHERE, "the form of their accents"
    )
    yield Form(
        "capitals", change("13.jpg", "13.JPG"), ELSEWHERE, "capital letters", "capital letters"
    )
    yield Form("no endings", change(".jpg", ""), ELSEWHERE, "the ending", "the ending")
    yield Form("another id", change("13.jpg", "14.jpg"), ELSEWHERE, "14.jpg", "14.jpg")
    yield Form("a row less", change("13.jpg,1\n", ""), ELSEWHERE, "13.jpg", "13.jpg")
    yield Form("no such class", change("13.jpg,1", "13.jpg,10"), "came 10", None, "'10'")
    yield Form("a class by its name", change("13.jpg,1", "13.jpg,Ford"), "Ford", None, "'Ford'")
    yield Form("a class as a fraction", change("13.jpg,1", "13.jpg,1.0"), "1.0", None, "'1.0'")
