"""A kernel gives away no secret, and nothing of the machine that it was built on."""

import json
import re
from contextlib import nullcontext
from pathlib import Path

import pytest

from podium.kaggle.build import build
from podium.kaggle.secret_scan import SecretFound, check_no_secrets
from small_competitions import make_project

KEY = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the entry `tiny`, and a home with credentials of each kind."""
    home = tmp_path / "houses" / "grete"
    (home / ".kaggle").mkdir(parents=True)
    (home / ".kaggle" / "kaggle.json").write_text(json.dumps({"username": "gretek", "key": KEY}))
    (home / ".kaggle" / "access_token").write_text("KGAT_0123456789abcdef0123\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "grete")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "token-of-environment")
    monkeypatch.delenv("KAGGLE_CONFIG_DIR", raising=False)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    make_project(project, "sample")
    return home


OURS, PATH = "a Kaggle key or token of this machine", "a path of this machine"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"user {KEY}", OURS),
        ("KGAT_0123456789abcdef0123", OURS),
        ("token-of-environment", OURS),
        ("{home}/images", PATH),
        ("{project}/input", PATH),
        ("ghp_" + "aB3dE9xQ2" * 4, "GitHub Token"),
        ("AKIA" + "A1B2" * 4, "AWS Access Key"),
        ("-----BEGIN " + "RSA PRIVATE KEY-----", "Private Key"),
        ("9f86d081884c7d65" + "9a2feaa0c55ad015", "Hex High Entropy String"),
    ],
)
def test_a_secret_is_found_in_any_file(home: Path, text: str, kind: str) -> None:
    planted = text.replace("{home}", str(home)).replace("{project}", str(Path.cwd()))
    files = {"podium/a.py": "clean\n", "podium/b.py": f"one\ntwo = '{planted}'\n"}
    for library, own in ((files, {}), ({}, files)):
        with pytest.raises(SecretFound, match=f"podium/b.py, line 2: {kind}") as caught:
            check_no_secrets(library, own)
        assert planted not in str(caught.value)


def test_the_login_name_is_found_in_what_is_the_entrys_own() -> None:
    with pytest.raises(SecretFound, match=r"kernel\.py, line 1: the login name"):
        check_no_secrets({"podium/a.py": "regret = 1"}, {"kernel.py": "# by grete"})
    check_no_secrets({"podium/a.py": "a word like grete"}, {"kernel.py": "# by grete"})


def test_a_planted_path_stops_the_build(home: Path) -> None:
    recipe = Path("kernels/tiny/recipe.toml")
    before = recipe.read_text()
    recipe.write_text(f"# {home}/notes\n{before}")
    with pytest.raises(SecretFound, match=rf"{re.escape(str(recipe))}, line 1: {PATH}"):
        build("tiny", owner="someone")
    assert not Path("build").exists()
    recipe.write_text(before)
    build("tiny", owner="someone")


@pytest.mark.parametrize(("word", "is_secret"), [("gretel", False), ("grete", True)])
def test_words_that_only_look_alike_are_left_alone(word: str, is_secret: bool) -> None:
    own = {"a.py": f"{word} = regrete = '/houses/greta'; key = 'key'"}
    with pytest.raises(SecretFound) if is_secret else nullcontext() as caught:
        check_no_secrets({}, own)
    assert (caught is not None) == is_secret
