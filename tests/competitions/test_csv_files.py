"""CSV files: read as text whatever wrote them, and what is none is named in one line."""

from pathlib import Path

import pytest

from podium.competitions.csv_files import MissingData, read_csv

COLUMNS = ["Id", "Category"]


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        "Id,Category\n1.jpg,0\nNA,1\n",
        "\ufeffId,Category\r\n1.jpg,0\r\nNA,1\r\n",
        "Category,note,Id\n0,x,1.jpg\n1,,NA\n".replace(",,", ",y,"),
        'Id,Category\n"1.jpg",0\n\nNA,1',
        "Id,Category\r1.jpg,0\rNA,1\r",
    ],
    ids=["as written", "BOM and CRLF", "other order", "quotes", "CR"],
)
def test_forms_of_the_same_table_are_read(tmp_path: Path, content: str) -> None:
    table = read_csv(written(tmp_path, content), COLUMNS)
    assert table.to_dict("list") == {"Id": ["1.jpg", "NA"], "Category": ["0", "1"]}


@pytest.mark.parametrize("name", ["NA", "null", "001", "1e5"])
def test_ids_are_text_whatever_they_look_like(tmp_path: Path, name: str) -> None:
    assert read_csv(written(tmp_path, f"Id,Category\n{name},0\n"), COLUMNS)["Id"].tolist() == [name]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("id;label\n1;0\n", "came 'id;label'; its cells are separated by semicolons: save it"),
        ("id\tlabel\n1\t0\n", "its cells are separated by tabs: save it as CSV (UTF-8)"),
        (
            "Id,Category\n1.jpg,0\n2.jpg,0,0,0\n",
            "expected 2 cells in each line, 1 lines have",
        ),
        # Which pandas would take for an index and two columns.
        ("Id,Category\n1.jpg,0,1\n", "1 lines have others (2); mend them, and put quotes"),
        ("Id,Category\n1.jpg\n2.jpg\n", "2 lines have others (2, 3)"),
        ("Id,Category\n1.jpg,0\n,1\n3.jpg,\n", "2 rows have empty cells (3, 4); fill in or"),
        ("Id,Category,Id\n1.jpg,0,1\n", "two columns are called alike in 'Id,Category,Id'"),
        ("Id,Category\n1.jpg ,0\n", "1 ids have spaces around them ('1.jpg '); remove"),
        ("Id,Category\n1.jpg\xa0,0\n", "1 ids have spaces around them ('1.jpg\\xa0'); remove"),
        ("Id,Category\na,0\na,1\n", "1 ids are there twice (a); keep one line of each"),
        ('Id,Category\n"1.jpg,0\n', "a quote is opened and not closed; save it as CSV"),
        ('Id,Category\n"1".jpg,0\n', "line 2"),
        (f"Id,Category\n{'x' * 200_000},0\n", "line 2"),
        ("<!DOCTYPE html>\n<html><head><title>Sign in</title>", "came '<!DOCTYPE html>'"),
        ('{"Id": "1.jpg"}\n', "came '{"),
        (b"\x1f\x8b\x08\0", "save it as CSV"),
        ("Id,Category\n1.jpg,0\n".encode("utf-16-le"), "this is a binary file; save it as CSV"),
        ("\ufeffPK\0", "this is a binary file; save it as CSV (UTF-8)"),
        (b"PK\3\4\0", "this is a binary file; save it as CSV"),
        ("Id,Category\n1.jpg,0\n".encode("utf-16"), "line 1 has the byte 0xff; save it as CSV"),
        ("Id,Category\né.jpg,9\n".encode("latin-1"), "line 2 has the byte 0xe9; save it as CSV"),
        ("Id,Category\n", "has no rows: write one for each image"),
        ("", "expected the columns 'Id,Category', came ''; give the file that has them"),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, content: str | bytes, expected: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(MissingData) as caught:
        read_csv(path, COLUMNS)
    assert str(caught.value).startswith(str(path))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"a\.csv is missing; unpack the download again"):
        read_csv(tmp_path / "a.csv", COLUMNS)
