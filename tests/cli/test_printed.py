"""What commands print moves no cursor and forges no line, whatever files and classes are named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from podium.files.image_io import UnreadableImage, read_image
from podium.text import defused, printable, single_line
from small_competitions import break_image, enter_copy, make_project

Command = Callable[..., tuple[int, str, str]]
# An escape, a carriage return, a new line, a control of 8 bits, and an override of direction.
HOSTILE = "a\x1b[31m\r\x9b1A\u202eb\nforged: all is well"
QUOTED = "a\\x1b[31m\\r\\x9b1A\\u202eb\\nforged: all is well"


def is_safe(printed: str) -> bool:
    lines = printed.split("\n")
    return all(line.isprintable() and not line.lstrip().startswith("forged") for line in lines)


def test_each_control_character_is_spelled_out() -> None:
    controls = [*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
    for text in map(chr, controls):
        assert single_line(text).isprintable() and text not in single_line(f"a{text}b")
    assert single_line(HOSTILE) == QUOTED == single_line(QUOTED)
    assert printable(f"é\t1\n{HOSTILE}").split("\n")[0] == "é\\t1"


def test_an_error_is_one_line(command: Command, tmp_path: Path) -> None:
    for words in (("check", HOSTILE), ("report", HOSTILE), ("score", HOSTILE, HOSTILE)):
        code, out, errors = command(*words)
        assert code and not out and is_safe(errors) and errors.count("\n") == 1


def test_a_file_that_is_not_there_is_named_first(command: Command, tmp_path: Path) -> None:
    table = tmp_path / "submission.csv"
    code, _, errors = command("score", table, table)
    assert code == 1 and errors == f"podium: {table}: No such file or directory\n"


def test_a_broken_image_is_named_on_a_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_project(tmp_path, "clocks-or-crocs")
    monkeypatch.chdir(tmp_path)
    hostile = data / "train" / "clock" / f"{HOSTILE}.png"
    (data / "train" / "clock" / "clock-1.png").rename(hostile)
    break_image(hostile)
    for words in (("check", "clocks-or-crocs"), ("train", "tiny")):
        code, out, errors = command(*words)
        assert code == 1 and is_safe(out) and is_safe(errors) and f"{QUOTED}.png: " in out + errors
    with pytest.raises(UnreadableImage) as caught:
        read_image(hostile)
    assert is_safe(str(caught.value))


def test_runs_are_listed_by_quoted_names(
    command: Command, trained_copy: Path, tmp_path: Path
) -> None:
    weights = trained_copy / "weights"
    named = shutil.copytree(weights / "tiny", weights / f"tiny-{HOSTILE}")
    about = json.loads((named / "run.json").read_text())
    (named / "run.json").write_text(json.dumps({**about, "entry": HOSTILE}))
    broken = shutil.copytree(weights / "tiny", weights / f"broken-{HOSTILE}")
    (broken / "run.json").write_text("{")
    code, out, _ = command("runs")
    assert code == 0 and is_safe(out) and f"tiny-{QUOTED}" in out and f"broken-{QUOTED}" in out


@pytest.fixture
def hostile_images(
    trained_pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Two that can be read and one that cannot, in the current folder."""
    project = enter_copy(trained_pets, tmp_path, monkeypatch)
    names = [f"{HOSTILE}.jpg", "=cmd|' -C calc'!A0.jpg"]
    for name in names:
        shutil.copy(project / "new" / "pug_11.jpg", name)
    Path("@broken.jpg").write_bytes(b"no image")
    return [*names, "@broken.jpg"]


def test_classify_prints_no_name_as_it_is(command: Command, hostile_images: list[str]) -> None:
    for words in ((), ("--csv", "-"), ("--json", "-")):
        code, out, errors = command("classify", "tiny", *hostile_images, *words)
        assert code == 1 and is_safe(out) and is_safe(errors)
        assert "forged" in out


def test_a_spreadsheet_runs_no_cell_of_the_csv(command: Command, hostile_images: list[str]) -> None:
    command("classify", "tiny", *hostile_images, "--csv", "found.csv")
    table = pd.read_csv("found.csv", keep_default_na=False)
    assert table["file"][1] == "'=cmd|' -C calc'!A0.jpg"
    assert table["file"][2] == "'@broken.jpg" and table["problem"][2].startswith("'@broken.jpg: ")
    assert (
        not table.astype(str)
        .apply(lambda column: column.str.startswith(("=", "@", "\t")))
        .any(axis=None)
    )
    for sign in "=+-@\t\r":
        assert defused(f"{sign}1") == f"'{sign}1"
    assert defused("1-2") == "1-2" and defused("") == ""
