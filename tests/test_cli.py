"""The commands as a user types them: answers, exit codes, and mistakes in one line."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from podium.cli import main

REPOSITORY = Path(__file__).parents[1]
COMMANDS = [
    *("new", "train", "predict", "classify", "check", "sample", "entries", "score"),
    *("blend", "report", "soup", "build", "push", "collect", "download", "submit", "upload"),
]


@dataclass(frozen=True)
class Done:
    """What a command left on the screen and said to the shell."""

    stdout: str
    stderr: str
    returncode: int | str | None


Podium = Callable[..., Done]


@pytest.fixture
def podium(
    data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Podium:
    """Run `podium` in a project of its own, which has one entry and no data.

    In this process, because a new one takes seconds to import pandas and scikit-learn.
    """
    entry = data.parent / "kernels" / "mine"
    entry.mkdir(parents=True)
    recipe = 'competition = "cars"\nbackbone = "resnet-small"\nweights = "none"\n'
    (entry / "recipe.toml").write_text(recipe)
    monkeypatch.delenv("PODIUM_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["podium", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exited:
            main()
        printed = capfd.readouterr()
        return Done(printed.out, printed.err, exited.value.code or 0)

    return run


def assert_one_line(done: Done, *parts: str) -> None:
    """A user's mistake: exit code 1, one line on stderr that has these parts, no traceback."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("podium: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr


def test_the_help_lists_every_command(podium: Podium) -> None:
    done = podium("--help")
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert f" {command} " in done.stdout


def test_help_and_everything_before_a_training_do_without_tensorflow() -> None:
    program = """
import sys
from typer.testing import CliRunner
import podium.cli
assert not {"numpy", "pandas", "keras", "tensorflow"} & set(sys.modules), "--help is slow"
assert CliRunner().invoke(podium.cli.app, ["--help"]).exit_code == 0
assert not {"numpy", "pandas", "keras", "tensorflow"} & set(sys.modules), "--help is slow"
import podium.data.check, podium.recipes.entries
import podium.training.train, podium.predictions.combine
import podium.competitions.sample
assert not {"keras", "tensorflow"} & set(sys.modules), "a command imports TensorFlow early"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_installed_script_tells_a_mistake_in_one_line(data: Path) -> None:
    script = shutil.which("podium", path=str(Path(sys.executable).parent))
    assert script is not None
    done = subprocess.run([script, "check", "cars"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("podium: no data of cars")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["train", "other"], ["no entry 'other'", "there are: mine"]),
        (["train", "mine"], ["no data of cars", "podium download cars", "input/sf-dl-car"]),
        (["train", "mine", "--set", "imagesize=64"], ["imagesize: unknown key", "image_size?"]),
        (["train", "mine", "--set", "image_size=9"], ["image_size: came 9", "equal to 16"]),
        (["train", "mine", "--set", "image_size"], ["--set image_size: expected key=value"]),
        (["train", "mine", "--set", "backbone=b6"], ["no backbone 'b6'", "efficientnet-b6"]),
        (
            ["train", "mine", "--set", "weights=imagenet"],
            ["came 'imagenet'", "expected none"],
        ),
        (["train", "mine", "--limit", "0"], ["limit: came 0"]),
        (["train", "mine", "--fold", "5"], ["fold 5: this recipe has the folds 0 to 4"]),
        (["check", "car"], ["no competition 'car'", "cars, clocks-or-crocs"]),
        (["check", "cars"], ["no data of cars", "https://www.kaggle.com/c/sf-dl-car"]),
        (["predict", "gone"], ["no run 'gone'", "none"]),
        (["score", "a.csv", "b.csv"], ["a.csv"]),
        (["blend", "a"], ["a alone is no blend"]),
        (["build", "mine"], ["kernel-metadata.json is missing: mine is meant for this machine"]),
        (["push", "mine"], ["kernel-metadata.json is missing"]),
        (["collect", "other"], ["no entry 'other'"]),
        (["download", "car"], ["no competition 'car'"]),
        (["submit", "intel", "a.csv", "-m", "x"], ["intel has no leaderboard"]),
    ],
    ids=lambda value: " ".join(value) if value[0] in COMMANDS else "",
)
def test_a_mistake_is_one_line(podium: Podium, words: list[str], parts: list[str]) -> None:
    assert_one_line(podium(*words), *parts)


def test_a_traceback_is_there_for_the_asking(
    podium: Podium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_DEBUG", "1")
    with pytest.raises(ValueError, match="no competition 'car'"):
        podium("check", "car")


def test_a_word_too_few_is_a_matter_of_usage(podium: Podium) -> None:
    done = podium("train")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "entry" in done.stderr.lower()


def test_check_names_what_is_wrong_and_fails(
    podium: Podium, data: Path, write_image: Callable[..., Path]
) -> None:
    folder = data / "sf-dl-car-classification"
    rows = ["Id,Category"]
    paths = []
    for number in range(20):
        name = f"{number}.jpg"
        paths.append(write_image(folder / "train" / str(number % 10) / name))
        rows.append(f"{name},{number % 10}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    write_image(folder / "test_upload" / "100.jpg")
    (folder / "sample-submission.csv").write_text("Id,Category\n100.jpg,0\n")

    clean = podium("check", "cars")
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert "20 training and 1 test images" in clean.stdout
    assert "broken or missing: none" in clean.stdout

    shutil.copy(paths[5], paths[4])  # with near-copies a training goes on
    doubled = podium("check", "cars")
    assert doubled.returncode == 0
    assert "groups of near-identical training images: 1" in doubled.stdout

    truncated, empty, text, missing = paths[:4]
    truncated.write_bytes(truncated.read_bytes()[:-300])
    empty.write_bytes(b"")
    text.write_text("not found")
    missing.unlink()
    done = podium("check", "cars")
    assert done.returncode == 1
    assert "broken or missing: 4" in done.stdout
    for path, problem in (
        (truncated, "truncated"),
        (empty, "the file is empty"),
        (text, "not an image in a known format"),
        (missing, "there is no such file"),
    ):
        assert f"{path}: {problem}" in done.stdout
    assert "4.jpg (Lada 2107) = 5.jpg (Lada Niva)" in done.stdout
    assert "of these with several labels: 1" in done.stdout
    assert "Traceback" not in done.stderr
    assert not list(data.parent.glob("weights*")), "check writes nothing"


def test_entries_lists_all_of_the_repository(
    podium: Podium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    done = podium("entries")
    assert done.returncode == 0, done.stderr
    listed = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    recipes = (REPOSITORY / "kernels").glob("*/recipe.toml")
    assert listed == sorted(path.parent.name for path in recipes)


def test_score_tells_the_accuracy_of_a_submission(podium: Podium, tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("Id,Category\n1.jpg,0\n2.jpg,1\n3.jpg,1\n4.jpg,0\n")
    (tmp_path / "mine.csv").write_text("Id,Category\n4.jpg,0\n3.jpg,0\n2.jpg,1\n1.jpg,0\n")
    done = podium("score", "mine.csv", "truth.csv")
    assert done.returncode == 0, done.stderr
    assert "accuracy 0.7500" in done.stdout


def test_a_mistake_leaves_no_run_behind_and_erases_none(podium: Podium, data: Path) -> None:
    podium("train", "mine")  # there is no data
    assert not (data.parent / "weights").exists()
    assert not (data.parent / "submissions").exists()
    run = data.parent / "weights" / "mine" / "run.json"
    run.parent.mkdir(parents=True)
    run.write_text("{}")
    assert_one_line(podium("train", "mine", "--fresh"), "no data of cars")
    assert run.read_text() == "{}"
