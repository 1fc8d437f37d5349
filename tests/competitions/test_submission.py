"""The check of a submission's file: ours pass, and nothing that Kaggle would score wrongly."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.competitions import COMPETITIONS, Competition, WrongSubmission, get_competition
from podium.competitions.submission import check_submission_file
from podium.files.atomic_write import write_csv
from small_competitions import DRAW

TESTS = pd.Index(["907.jpg", "13.jpg", "250.jpg", "8.jpg"])
GOOD = "Id,Category\n907.jpg,9\n13.jpg,0\n250.jpg,3\n8.jpg,3\n"


def refusal(path: Path, name: str = "cars", ids: pd.Index | None = TESTS) -> str:
    """What is said of a wrong file, in one line, after the path."""
    with pytest.raises(WrongSubmission) as caught:
        check_submission_file(get_competition(name), path, ids)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "some.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("name", sorted(COMPETITIONS))
def test_what_a_run_writes_is_right_for_every_competition(data: Path, name: str) -> None:
    competition: Competition = COMPETITIONS[name]
    DRAW[name](data / competition.slug)
    ids = competition.read_test().index
    classes = list(competition.classes)
    values = np.random.default_rng(0).dirichlet(np.full(len(classes), 0.1), len(ids))
    probabilities = pd.DataFrame(values.astype(np.float32), ids, classes)
    path = data / "submission.csv"
    submission = competition.validated_submission(probabilities, ids)
    write_csv(path, submission, index=False)
    assert check_submission_file(competition, path, ids) == len(ids)

    write_csv(path, submission.iloc[:-1], index=False)
    assert f"1 test ids are missing ({ids[-1]})" in refusal(path, name, ids)
    assert check_submission_file(competition, path, None) == len(ids) - 1


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "Id,Category\n8.jpg,3\n250.jpg,3\n13.jpg,0\n907.jpg,9\n",
        GOOD.encode("utf-8-sig"),
        GOOD.replace("\n", "\r\n"),
        GOOD.rstrip("\n"),
        GOOD + "\n\n",
        GOOD.replace("13.jpg", '"13.jpg"'),
    ],
    ids=["as written", "reordered", "BOM", "CRLF", "no last line end", "empty lines", "quotes"],
)
def test_forms_of_the_same_table_are_taken(tmp_path: Path, text: str | bytes) -> None:
    path = written(tmp_path, text)
    assert check_submission_file(get_competition("cars"), path, TESTS) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Category", "category"), "expected the columns 'Id,Category', came 'Id,category'"),
        (("Id,Category", "Category,Id"), "came 'Category,Id'; put the columns in this order"),
        (("Id,Category\n", ""), "came '907.jpg,9'"),
        (("Id,", ",Id,"), "came ',Id,Category'; take the column '' out (pandas: to_csv(…, index=F"),
        (("Id,", "index,Id,"), "; take the column 'index' out (pandas: to_csv(…, index=False))"),
        (("Category", "Category,cat"), "came 'Id,Category,cat'; take the column 'cat' out"),
        (("Id,Category", "cat,Category,Id,x"), "take the column 'cat', 'x' out"),
        (("Id,Category", "Id,Category,Id"), "; take the column 'Id' out"),
        (("Category", "Klasse"), "came 'Id,Klasse'; give it this first line"),
        ((",", ";"), "came 'Id;Category'"),
        (("13.jpg,0", "13.jpg,0,1"), "expected 2 cells in each line, 1 lines have others (3)"),
        ((",3", ""), "expected 2 cells in each line, 2 lines have others (4, 5)"),
        (("13.jpg,0\n", ""), "1 test ids are missing (13.jpg)"),
        (("13.jpg", "8.jpg"), "1 ids are there twice (8.jpg), 1 test ids are missing (13.jpg)"),
        (("8.jpg,3\n", "8.jpg,3\n8.jpg,3\n8.jpg,1\n"), "1 ids are there twice (8.jpg)"),
        (("13.jpg", "14.jpg"), "1 test ids are missing (13.jpg), 1 ids are no test ids (14.jpg)"),
        (("13.jpg", " 13.jpg"), "1 ids are no test ids ( 13.jpg)"),
        (("13.jpg", "13.JPG"), "1 ids are no test ids (13.JPG)"),
        ((",", "\t"), "its cells are separated by tabs: save it as CSV (UTF-8)"),
        (("13.jpg", ""), "1 lines have no id (3), 1 test ids are missing (13.jpg)"),
        ((".jpg", ".png"), "4 ids are no test ids (907.png, 13.png, 250.png, …)"),
        ((",9", ",10"), "Category must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; "),
        ((",9", ",10"), "1 rows have something else (line 2: '10')"),
        ((",3", ",3.0"), "2 rows have something else (line 4: '3.0', line 5: '3.0')"),
        ((",9", ",-1"), "line 2: '-1'"),
        ((",9", ",nan"), "line 2: 'nan'"),
        ((",9", ","), "line 2: ''"),
        ((",9", ",Lada 21099"), "line 2: 'Lada 21099'"),
        ((",9", ",0.9"), "(line 2: '0.9'): mend it"),
    ],
)
def test_a_wrong_table_of_classes_is_refused(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert message in refusal(written(tmp_path, GOOD.replace(*change)))


@pytest.mark.parametrize("value", ["0", "1", "0.5", "1e-4", "0.00012345678901"])
def test_probabilities_are_taken(tmp_path: Path, value: str) -> None:
    path = written(tmp_path, f"id,label\n1,{value}\n")
    assert check_submission_file(get_competition("dogs-vs-cats"), path, pd.Index(["1"])) == 1


@pytest.mark.parametrize(
    "value", ["nan", "NaN", "", "inf", "-inf", "1.0001", "-0.1", "dog", "True", "0x1", "1_0", "-"]
)
def test_what_is_no_probability_is_refused(tmp_path: Path, value: str) -> None:
    path = written(tmp_path, f"id,label\n1,0.5\n2,{value}\n")
    assert refusal(path, "dogs-vs-cats", pd.Index(["1", "2"])) == (
        ": label must be a probability from 0 to 1; 1 rows have something else "
        f"(line 3: {value!r}): mend it"
    )


def test_probabilities_are_no_answer_where_a_class_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, "id,label\n1,0.5\n2,1\n")
    message = refusal(path, "dogs-vs-cats-original", pd.Index(["1", "2"]))
    assert "must be one of 0, 1; 1 rows have something else (line 2: '0.5')" in message


@pytest.mark.parametrize(
    "text",
    ["id,label\n1,cat\n2,dog\n", "Id,Category\n1.jpg,0\n907.jpg,9\n", ",id,label\n0,1,0.5\n"],
    ids=["other columns", "the same columns", "an index as well"],
)
def test_a_file_of_another_competition_is_told_by_its_ids(tmp_path: Path, text: str) -> None:
    message = refusal(written(tmp_path, text))
    assert message.endswith(
        "; most test images are not in it, as of another competition: give a file of this one"
    )


def test_a_box_too_many_is_taken_out_and_not_all_boxes(tmp_path: Path) -> None:
    path = written(tmp_path, ",id,label,xmin,ymin,xmax,ymax\n0,1,cat,1,1,2,2\n")
    assert refusal(path, "pets", None).endswith(
        "; take the column '' out (pandas: to_csv(…, index=False))"
    )


@pytest.mark.parametrize(
    ("name", "values", "warned"),
    [
        ("dogs-vs-cats", ("0", "1"), True),
        ("dogs-vs-cats", ("1.0", "0.0"), True),
        ("dogs-vs-cats", ("0.0001", "1"), False),
        ("dogs-vs-cats-original", ("0", "1"), False),
    ],
)
def test_certain_answers_to_a_log_loss_are_warned_of(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    values: tuple[str, str],
    warned: bool,
) -> None:
    path = written(tmp_path, "id,label\n1,{}\n2,{}\n".format(*values))
    assert check_submission_file(get_competition(name), path, pd.Index(["1", "2"])) == 2
    out = capsys.readouterr().out
    assert out.startswith(f"warning: {path} has only 0 and 1, the worst for a log loss") == warned


def test_the_class_that_a_wrong_answer_looks_like_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "id,label\n1,forest\n2,Montain\n")
    message = refusal(path, "intel", pd.Index(["1", "2"]))
    assert message.endswith("(line 3: 'Montain'): mend it; did you mean mountain?")


def test_without_the_test_ids_the_rest_is_checked(tmp_path: Path) -> None:
    assert check_submission_file(get_competition("cars"), written(tmp_path, GOOD), None) == 4
    doubled = written(tmp_path, GOOD.replace("13.jpg", "8.jpg"))
    assert "1 ids are there twice (8.jpg)" in refusal(doubled, ids=None)
    empty = written(tmp_path, GOOD.replace("13.jpg", ""))
    assert "1 lines have no id (3)" in refusal(empty, ids=None)


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongSubmission, match="there is no file"):
        check_submission_file(get_competition("cars"), tmp_path / name, TESTS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "came ''"),
        (b"Id,Category\n", "has no rows"),
        (GOOD.encode("utf-16"), "is not a CSV in UTF-8: line 1 has the byte 0xff; save it as CSV"),
        (b"{" + b"x" * 10_000 + b"}", "came '{xxx"),
    ],
    ids=["empty", "no rows", "UTF-16", "not a table"],
)
def test_what_is_no_csv_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    said = refusal(written(tmp_path, content))
    assert message in said
    assert len(said) < 200
