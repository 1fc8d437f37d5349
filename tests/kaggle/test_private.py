"""A kernel gives away nothing of the machine that it was built on."""

import json
from pathlib import Path

import pytest

from podium.kaggle.build import build
from podium.kaggle.private import PrivateContent, check_nothing_private
from small_competitions import make_project

KEY = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the entry `tiny`, and a home with credentials of each kind."""
    home = tmp_path / "houses" / "grete"
    (home / ".kaggle").mkdir(parents=True)
    (home / ".kaggle" / "kaggle.json").write_text(json.dumps({"username": "gretek", "key": KEY}))
    (home / ".kaggle" / "access_token").write_text("a-token-of-hers\n")
    (home / ".kaggle" / "credentials.json").write_text('{"refresh_token": "refresh-it-now"}')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "grete")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "token-of-environment")
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    make_project(project, "sample")
    return home


PLANTED = {
    f"user {KEY}": "the credentials of .*kaggle.json",
    "a-token-of-hers": "the credentials of .*access_token",
    "refresh-it-now": "the credentials of .*credentials.json",
    "token-of-environment": "the credentials of KAGGLE_API_TOKEN",
    "KGAT_" + "ab12" * 8: "a Kaggle token",
    '{"username": "x", "key": "' + "ab" * 16 + '"}': "a Kaggle key",
    "ghp_" + "aB3" * 12: "a GitHub token",
    "hf_" + "aB3" * 12: "a Hugging Face token",
    "AKIA" + "A1B2" * 4: "an AWS key",
    "-----BEGIN " + "RSA PRIVATE KEY-----": "a private key",
    "{home}": "the path of the home folder",
    "{home}/images": "the path of the home folder",
    "{project}/input": "the path .*project",
    "/home/" + "somebody/x": "a path of somebody's home",
    "C:\\Users\\" + "Somebody": "a path of somebody's home",
}


@pytest.mark.parametrize("text", PLANTED)
def test_what_is_private_is_found_in_any_file(home: Path, text: str) -> None:
    planted = text.replace("{home}", str(home)).replace("{project}", str(Path.cwd()))
    files = {"podium/a.py": b"clean\n", "podium/b.py": f"one\ntwo = '{planted}'\n".encode()}
    with pytest.raises(PrivateContent, match=f"podium/b.py, line 2: holds {PLANTED[text]}") as told:
        check_nothing_private(files)
    assert KEY not in str(told.value)


@pytest.mark.parametrize("name", ["grete", "gretek"])
@pytest.mark.parametrize("file", ["recipe.toml", "kernel.py"])
def test_names_of_users_are_found_in_what_is_the_entrys_own(name: str, file: str) -> None:
    path = Path("kernels/tiny") / file
    path.write_text(path.read_text() + f"# by {name}\n")
    with pytest.raises(PrivateContent, match=rf"{file}, line \d+: holds .* \({name}\)"):
        build("tiny", owner="someone")
    if name == "gretek":
        assert build("tiny", owner=name).code.is_file(), "the owner's own name is public"


def test_a_planted_path_stops_the_build(home: Path) -> None:
    before = Path("kernels/tiny/recipe.toml").read_text()
    Path("kernels/tiny/recipe.toml").write_text(f"# {home}/notes\n{before}")
    with pytest.raises(PrivateContent, match="the path of the home folder"):
        build("tiny", owner="someone")
    assert not Path("build").exists()
    Path("kernels/tiny/recipe.toml").write_text(before)
    build("tiny", owner="someone")


def test_words_that_only_look_alike_are_left_alone() -> None:
    check_nothing_private({"a.py": b"gretel = regrete = '/houses/greta'; key = 'key'"}, ours=True)
