"""The table of a run: made once, found again by id, and refused where it no longer fits."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pandas as pd
import pytest

from podium.competitions import get_competition
from podium.competitions.boxes import BOX_COLUMNS
from podium.data.table import BrokenImages, digests, open_to_predict, prepare_run, read_table
from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import parse_recipe
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from podium.runs.table import HELD_OUT, TRAIN_ONLY, LeakingSplit, stored_table
from small_competitions import DRAW, break_image

CLOCKS = get_competition("clocks-or-crocs")
PETS = get_competition("pets")
EACH = 6  # training images of each class


def recipe(**changes: object) -> Recipe:
    needed = {"competition": CLOCKS.name, "backbone": "resnet-small"}
    return parse_recipe({**needed, "folds": 3, **changes}, "here")


@pytest.fixture
def images(data: Path, write_image: Callable[..., Path]) -> Path:
    """The folder of a competition: clock/0.jpg … crocodile/5.jpg, and two test images."""
    folder = data / CLOCKS.slug
    for kind in CLOCKS.classes:
        for number in range(EACH):
            write_image(folder / "train" / kind / f"{number}.jpg")
    for name in ("007", "NA"):
        write_image(folder / "test" / f"{name}.jpg")
    return folder


@pytest.fixture
def folder(data: Path) -> RunFolder:
    return RunFolder(data.parent / "weights" / "run")


def test_every_image_gets_a_fold_and_the_folds_are_alike(images: Path, folder: RunFolder) -> None:
    table = prepare_run(folder, recipe()).table
    assert len(table.train) == 2 * EACH
    assert pd.crosstab(table.train["label"], table.train["fold"]).to_numpy().tolist() == [
        [2, 2, 2],
        [2, 2, 2],
    ]
    assert table.test.index.tolist() == ["NA", "007"]
    assert table.readable_test.index.tolist() == ["NA", "007"]
    assert all(path.is_file() for path in [*table.train["path"], *table.test["path"]])


def test_shares_leave_a_part_out(images: Path, folder: RunFolder) -> None:
    table = prepare_run(folder, recipe(shares=[0.5, 0.25, 0.25])).table
    assert set(table.train["fold"]) == {TRAIN_ONLY, 0, HELD_OUT}


def test_a_limit_takes_a_part_of_each_class(images: Path, folder: RunFolder) -> None:
    table = prepare_run(folder, recipe(limit=6)).table
    assert table.train["label"].value_counts().to_dict() == {0: 3, 1: 3}
    assert len(table.test) == 2


def test_the_table_is_made_once(images: Path, folder: RunFolder) -> None:
    first = prepare_run(folder, recipe()).table
    written = (folder.path / "pictures.csv").read_bytes()
    again = prepare_run(folder, recipe(seed=1)).table  # which would split otherwise
    pd.testing.assert_frame_equal(again.train, first.train)
    pd.testing.assert_frame_equal(again.test, first.test)
    assert (folder.path / "pictures.csv").read_bytes() == written
    other = prepare_run(RunFolder(folder.path.with_name("other")), recipe(seed=1)).table
    assert other.train["fold"].tolist() != first.train["fold"].tolist()


def test_paths_are_looked_up_where_the_data_is_now(
    images: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare_run(folder, recipe()).table
    moved = images.parent.with_name("another-machine")
    images.parent.rename(moved)
    monkeypatch.setenv("PODIUM_INPUT", str(moved))
    table = read_table(CLOCKS, folder)
    assert all(path.is_relative_to(moved) for path in table.train["path"])
    assert all(path.is_file() for path in [*table.train["path"], *table.test["path"]])
    pd.testing.assert_series_equal(table.train["fold"], first.train["fold"])


def test_copies_stay_in_one_fold(images: Path, folder: RunFolder) -> None:
    for number in range(3):
        source = images / "train" / "clock" / f"{number}.jpg"
        shutil.copy(source, source.with_name(f"copy-{number}.jpg"))
    train = prepare_run(folder, recipe()).table.train
    for number in range(3):
        copies = train.loc[[f"clock/{number}.jpg", f"clock/copy-{number}.jpg"]]
        assert copies["fold"].nunique() == copies["group"].nunique() == 1


def test_a_stored_split_that_leaks_is_refused(images: Path, folder: RunFolder) -> None:
    write_copy(images)
    prepare_run(folder, recipe())
    edit(folder, part_copies)
    edit(folder, join_all)
    for read in (lambda: read_table(CLOCKS, folder), lambda: stored_table(folder)):
        with pytest.raises(LeakingSplit):
            read()


def edit(folder: RunFolder, change: Callable[[pd.DataFrame], object]) -> None:
    """Change the stored table as somebody would by hand."""
    stored = pd.read_csv(folder.path / "pictures.csv", dtype=str, keep_default_na=False)
    stored = stored.set_index("id", drop=False)
    change(stored)
    stored.to_csv(folder.path / "pictures.csv", index=False)


def join_all(stored: pd.DataFrame) -> None:
    stored.loc[stored["part"] == "train", "group"] = "0"


def part_copies(stored: pd.DataFrame) -> None:
    """Put an image and its copy into different folds, and deny that it is one."""
    stored.loc["clock/0.jpg", "fold"] = str((int(stored.loc["clock/copy.jpg", "fold"]) + 1) % 3)
    stored.loc["clock/0.jpg", "group"] = "777"


def write_copy(images: Path) -> None:
    """A near-copy of clock/0.jpg: mirrored, and compressed again."""
    original = cv2.imread(str(images / "train" / "clock" / "0.jpg"))
    copy = images / "train" / "clock" / "copy.jpg"
    assert cv2.imwrite(str(copy), original[:, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])


def test_a_leak_is_found_whatever_groups_a_stored_split_names(
    images: Path, folder: RunFolder
) -> None:
    write_copy(images)
    prepare_run(folder, recipe())
    edit(folder, part_copies)
    stored_table(folder)  # by its own groups it is sound
    with pytest.raises(LeakingSplit, match=r"pictures\.csv: 1 groups .* --fresh"):
        prepare_run(folder, recipe())
    edit(folder, lambda stored: stored.drop(columns="group", inplace=True))
    with pytest.raises(ValueError, match=r"pictures\.csv"):
        prepare_run(folder, recipe())


def test_a_split_from_elsewhere_is_checked_once(
    images: Path, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    write_copy(images)
    first = prepare_run(folder, recipe()).table
    prepare_run(folder, recipe())
    assert "not checked" not in capsys.readouterr().out
    (folder.path / "checked.json").unlink()
    again = prepare_run(folder, recipe()).table
    assert "not checked" in capsys.readouterr().out
    pd.testing.assert_frame_equal(again.train, first.train)
    prepare_run(folder, recipe())
    assert "not checked" not in capsys.readouterr().out


def test_other_files_of_the_same_names_are_checked(images: Path, folder: RunFolder) -> None:
    train = prepare_run(folder, recipe()).table.train
    clocks = train[train["label"] == 0].drop_duplicates("fold")
    shutil.copy(*clocks["path"].iloc[:2])
    with pytest.raises(LeakingSplit):
        prepare_run(folder, recipe())


def test_broken_images_stop_a_run_before_it_has_a_table(images: Path, folder: RunFolder) -> None:
    broken = [images / "train" / "clock" / "0.jpg", images / "test" / "NA.jpg"]
    for path in broken:
        path.write_bytes(b"")
    with pytest.raises(BrokenImages) as caught:
        prepare_run(folder, recipe())
    message = str(caught.value)
    assert f"2 of {2 * EACH + 2} images cannot be read" in message
    assert all(str(path) in message for path in broken)
    assert "--set broken_images=skip" in message
    assert folder.read_images() is None


def test_broken_images_are_skipped_where_the_recipe_says_so(
    images: Path, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "train" / "clock" / "0.jpg").write_bytes(b"")
    (images / "test" / "NA.jpg").write_bytes(b"")
    table = prepare_run(folder, recipe(broken_images="skip")).table
    assert "warning: 2 of 14 images cannot be read" in capsys.readouterr().out
    assert "clock/0.jpg" not in table.train.index
    assert len(table.train) == 2 * EACH - 1
    assert table.test.index.tolist() == ["NA", "007"]
    assert table.readable_test.index.tolist() == ["007"]
    kept = folder.read_images()
    dropped = kept[kept["part"] == "dropped"]
    assert dropped.index.tolist() == ["clock/0.jpg"] and dropped["label"].tolist() == [0]
    assert "the file is empty" in dropped["problem"].iloc[0], "a report tells it"


def test_what_is_left_out_is_told_at_the_start(
    images: Path, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "train" / "clock" / "a.heic").write_bytes(b"no image that Pillow reads")
    prepare_run(folder, recipe())
    assert "left out: 1 files (.heic 1)\n" in capsys.readouterr().out


def test_a_class_that_nobody_can_read_is_not_left_out(images: Path, folder: RunFolder) -> None:
    broken = list((images / "train" / "crocodile").iterdir())
    for path in broken:
        path.write_bytes(b"")
    with pytest.raises(BrokenImages, match="no training image of 1 classes can be read"):
        prepare_run(folder, recipe(broken_images="skip"))


@pytest.mark.parametrize("change", ["gone", "other label"])
def test_other_images_than_at_the_beginning_are_refused(
    images: Path, folder: RunFolder, change: str
) -> None:
    prepare_run(folder, recipe())
    clock = images / "train" / "clock" / "0.jpg"
    if change == "gone":
        clock.unlink()
    else:
        clock.rename(images / "train" / "crocodile" / "moved.jpg")
    with pytest.raises(RunError) as caught:
        read_table(CLOCKS, folder)
    message = str(caught.value)
    assert f"images in {images} are not those that {folder.path} began with (1 are gone)" in message
    assert "--run NAME" in message
    assert "--fresh" in message


def predict(folder: RunFolder) -> None:
    """Write what a training leaves of test images."""
    for path in (folder.fold(0).path / "test.csv", folder.path / "test.csv"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("id,view,clock,crocodile\n")


def is_predicted(folder: RunFolder) -> bool:
    found = {
        path.is_file() for path in (folder.fold(0).path / "test.csv", folder.path / "test.csv")
    }
    assert len(found) == 1
    return found.pop()


def test_the_test_images_of_the_first_start_stay_predicted(
    images: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_image(images / "test" / "NA.jpg")
    skip = recipe(broken_images="skip")
    prepare_run(folder, skip)
    predict(folder)
    prepare_run(folder, skip)
    moved = images.parent.with_name("another-machine")  # the problem has its path in it
    images.parent.rename(moved)
    monkeypatch.setenv("PODIUM_INPUT", str(moved))
    prepare_run(folder, skip)
    assert is_predicted(folder)


def other_file(images: Path, write_image: Callable[..., Path]) -> None:
    (images / "train" / "clock" / "0.jpg").replace(images / "test" / "007.jpg")


def new_image(images: Path, write_image: Callable[..., Path]) -> None:
    write_image(images / "test" / "8.jpg")


def gone_image(images: Path, write_image: Callable[..., Path]) -> None:
    (images / "test" / "NA.jpg").unlink()


def none_of_them(images: Path, write_image: Callable[..., Path]) -> None:
    for path in (images / "test").iterdir():
        path.rename(path.with_stem(f"hidden-{path.stem}"))


@pytest.mark.parametrize("change", [other_file, new_image, gone_image, none_of_them])
def test_other_test_images_are_predicted_without_training_images(
    images: Path,
    folder: RunFolder,
    write_image: Callable[..., Path],
    change: Callable[..., None],
) -> None:
    folder.begin(recipe(), {}, fresh=False)
    prepare_run(folder, recipe())
    before = stored_table(folder)
    predict(folder)
    change(images, write_image)
    shutil.rmtree(images / "train")
    test = open_to_predict(folder).table.test
    assert not is_predicted(folder)
    assert set(test.index) == {path.stem for path in (images / "test").iterdir()}
    assert all(path.is_file() for path in test["path"])
    pd.testing.assert_frame_equal(stored_table(folder).test, test.drop(columns="path"))
    pd.testing.assert_frame_equal(stored_table(folder).train, before.train)


def test_a_mended_test_image_is_predicted(
    images: Path, folder: RunFolder, write_image: Callable[..., Path]
) -> None:
    skip = recipe(broken_images="skip")
    break_image(images / "test" / "NA.jpg")
    assert prepare_run(folder, skip).table.readable_test.index.tolist() == ["007"]
    predict(folder)
    write_image(images / "test" / "NA.jpg")
    assert prepare_run(folder, skip).table.readable_test.index.tolist() == ["NA", "007"]
    assert not is_predicted(folder)


@pytest.mark.parametrize("look", [lambda folder: prepare_run(folder, recipe()), open_to_predict])
def test_a_test_image_that_breaks_later_is_named(
    images: Path, folder: RunFolder, look: Callable[[RunFolder], object]
) -> None:
    folder.begin(recipe(), {}, fresh=False)
    prepare_run(folder, recipe())
    predict(folder)
    break_image(images / "test" / "NA.jpg")
    with pytest.raises(BrokenImages, match=r"^1 of 2 images cannot be read: .*/test/NA\.jpg: "):
        look(folder)
    assert is_predicted(folder)
    skip = folder.begin(recipe(broken_images="skip"), {}, fresh=False)
    assert prepare_run(folder, skip).table.readable_test.index.tolist() == ["007"]
    assert not is_predicted(folder)


def test_what_is_no_file_has_no_digest_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "endless.jpg").symlink_to("/dev/zero")
    (tmp_path / "sound.jpg").write_bytes(b"image")
    found = digests(pd.Series(sorted(tmp_path.iterdir())))
    assert [bool(digest) for digest in found] == [False, False, True]


def test_a_training_image_that_breaks_later_is_named(images: Path, folder: RunFolder) -> None:
    prepare_run(folder, recipe())
    break_image(images / "train" / "clock" / "3.jpg")
    with pytest.raises(
        BrokenImages, match=r"1 training images cannot be read any more: .*3\.jpg: "
    ):
        prepare_run(folder, recipe())


def test_a_run_without_digests_keeps_its_predictions(images: Path, folder: RunFolder) -> None:
    prepare_run(folder, recipe())
    stored = pd.read_csv(folder.path / "pictures.csv", dtype=str, keep_default_na=False)
    stored.drop(columns="digest").to_csv(folder.path / "pictures.csv", index=False)
    predict(folder)
    prepare_run(folder, recipe())
    assert is_predicted(folder)
    assert stored_table(folder).test["digest"].str.fullmatch("[0-9a-f]{16}").all()


def test_a_run_without_a_table_is_to_be_trained_first(images: Path, folder: RunFolder) -> None:
    for read in (lambda: read_table(CLOCKS, folder), lambda: stored_table(folder)):
        with pytest.raises(RunError, match="no table of images yet: train it first"):
            read()


def test_the_stored_table_needs_no_images(images: Path, folder: RunFolder) -> None:
    (images / "test" / "NA.jpg").write_bytes(b"")
    table = prepare_run(folder, recipe(broken_images="skip")).table
    shutil.rmtree(images)
    stored = stored_table(folder)
    pd.testing.assert_frame_equal(stored.train, table.train.drop(columns="path"))
    pd.testing.assert_frame_equal(stored.test, table.test.drop(columns="path"))
    assert stored.readable_test.index.tolist() == ["007"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No columns to parse"),
        ("<html>", "None of \\['id'\\] are in the columns"),
        ("part,id,label,group\ntrain,a,0,0\n", "fold"),
        ("part,id,label,group,fold,problem\ntrain,a,,0,0,\n", "non-finite"),
        ("part,id,label,group,fold,problem\n" + "train,a,0,0,0,\n" * 2, "1 ids are there twice"),
    ],
    ids=["empty", "other", "column", "label", "doubled"],
)
def test_a_damaged_table_is_refused(folder: RunFolder, text: str, said: str) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "pictures.csv").write_text(text)
    with pytest.raises(RunError, match=said) as caught:
        stored_table(folder)
    assert str(caught.value).startswith(str(folder.path / "pictures.csv"))
    assert "\n" not in str(caught.value)


# --- Boxes


@pytest.fixture
def pets(data: Path) -> Path:
    """The folder of the pets: ten of each kind to train, all but the first of them with a box."""
    DRAW["pets"](data / PETS.slug)
    return data / PETS.slug


def of_pets(**changes: object) -> Recipe:
    return recipe(competition=PETS.name, **changes)


def test_boxes_and_sizes_are_kept_to_the_last_bit(pets: Path, folder: RunFolder) -> None:
    table = prepare_run(folder, of_pets()).table
    found = PETS.read_training()
    columns = list(BOX_COLUMNS)
    pd.testing.assert_frame_equal(table.train[columns], found[columns], check_exact=True)
    assert (table.train.dtypes[columns] == "float32").all()
    assert table.train["x_min"].isna().sum() == 2
    for part in (table.train, table.test):
        assert part["width"].tolist() == [28] * len(part)
        assert part["height"].tolist() == [24] * len(part)
        assert part["width"].dtype == "int64"
    shutil.rmtree(pets)
    stored = stored_table(folder)
    pd.testing.assert_frame_equal(stored.train, table.train.drop(columns="path"))
    pd.testing.assert_frame_equal(stored.test, table.test.drop(columns="path"))


def test_what_cannot_be_read_has_no_size(pets: Path, folder: RunFolder) -> None:
    break_image(pets / "images" / "pug_11.jpg")
    table = prepare_run(folder, of_pets(broken_images="skip")).table
    assert table.test.loc["pug_11", ["width", "height"]].tolist() == [0, 0]
    assert table.test.loc["pug_10", ["width", "height"]].tolist() == [28, 24]


@pytest.mark.parametrize("now", [False, True], ids=["gone", "moved"])
def test_other_boxes_than_at_the_beginning_are_refused(
    pets: Path, folder: RunFolder, now: bool
) -> None:
    prepare_run(folder, of_pets())
    path = pets / "annotations" / "xmls" / "pug_3.xml"
    path.write_text(path.read_text().replace("<ymin>2<", "<ymin>4<")) if now else path.unlink()
    with pytest.raises(RunError, match="are not those that"):
        read_table(PETS, folder)


def test_a_competition_without_boxes_has_no_such_columns(images: Path, folder: RunFolder) -> None:
    table = prepare_run(folder, recipe()).table
    assert table.train.columns.tolist() == ["path", "label", "group", "fold"]
    assert table.test.columns.tolist() == ["problem", "digest", "path"]
    header = (folder.path / "pictures.csv").read_text().splitlines()[0]
    assert header == "part,id,label,group,fold,problem,digest"
