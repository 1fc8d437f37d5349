"""A kernel gives away no secret, and nothing of the machine that it was built on."""

import json
import re
from contextlib import nullcontext
from pathlib import Path

import pytest

from podium.kaggle.build import build
from podium.kaggle.kernel import Kernel
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


OURS, PATH = "a key, token or password of this machine", "a path of this machine"


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
        build(Kernel("tiny"), owner="someone")
    assert not Path("build").exists()
    recipe.write_text(before)
    build(Kernel("tiny"), owner="someone")


@pytest.mark.parametrize(("word", "is_secret"), [("gretel", False), ("grete", True)])
def test_words_that_only_look_alike_are_left_alone(word: str, is_secret: bool) -> None:
    own = {"a.py": f"{word} = regrete = '/houses/greta'; key = 'key'"}
    with pytest.raises(SecretFound) if is_secret else nullcontext() as caught:
        check_no_secrets({}, own)
    assert (caught is not None) == is_secret


PASSED = "Hunter-2-Reloaded"
FILES = {
    ".netrc": f"# password manager\nmachine default login grete password {PASSED}\n",
    ".cache/huggingface/token": f"{PASSED}\n",
    ".huggingface/token": PASSED,
    ".aws/credentials": f"[default]\naws_secret_access_key = {PASSED}\nregion = us-east-1\n",
    ".git-credentials": f"https://grete:{PASSED}@github.com\n",
    ".config/gh/hosts.yml": f"github.com:\n    oauth_token: {PASSED}\n    git_protocol: https\n",
    ".pypirc": f"[pypi]\nusername = __token__\npassword = {PASSED}\n",
    ".npmrc": f"//registry.npmjs.org/:_authToken={PASSED}\n",
    ".docker/config.json": json.dumps({"auths": {"https://x.io/v1/": {"auth": PASSED}}}, indent=1),
    ".config/gcloud/application_default_credentials.json": json.dumps(
        {"type": "authorized_user", "token_uri": "https://x.io/token", "refresh_token": PASSED}
    ),
    ".kaggle/credentials.json": json.dumps({"username": "gretek", "refreshToken": PASSED}),
    ".config/kaggle/kaggle.json": json.dumps({"username": "gretek", "key": PASSED}),
}
WORDS = (
    "machine default login manager region us-east-1 github.com git_protocol username __token__ "
    "https://x.io/v1/ authorized_user gretek credentials"
)


@pytest.mark.parametrize("name", FILES)
def test_credentials_of_any_program_on_this_machine_are_found(home: Path, name: str) -> None:
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(FILES[name])
    check_no_secrets({"podium/a.py": f"# {WORDS}"}, {})
    for written in (PASSED, PASSED.lower(), PASSED.upper()):
        with pytest.raises(SecretFound, match=rf"b\.py, line 1: {OURS}"):
            check_no_secrets({}, {"b.py": f"# {written}"})


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "db_password", "MY_SECRET_1", "GH_TOKEN"])
def test_variables_that_are_named_as_credentials_are_found(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f" {PASSED}\n")
    with pytest.raises(SecretFound, match=OURS):
        check_no_secrets({}, {"b.py": f"# {PASSED.lower()}"})
    monkeypatch.setenv(name, str(home / "key"))  # a file that holds it
    (home / "key").write_text("another-Hunter-3")
    with pytest.raises(SecretFound, match=OURS):
        check_no_secrets({}, {"b.py": "# another-hunter-3"})


def test_a_user_without_a_home_can_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", nobody)
    check_no_secrets({}, {"b.py": "clean"})
    assert build(Kernel("tiny"), owner="someone").code.is_file()


def test_what_only_looks_like_a_secret_can_be_marked() -> None:
    line = f'digest = "{KEY[::-1]}"'
    with pytest.raises(SecretFound, match="pragma: allowlist secret"):
        check_no_secrets({}, {"a.py": line})
    check_no_secrets({}, {"a.py": f"{line}  # pragma: allowlist secret"})


@pytest.mark.parametrize(
    "line",
    [
        'token = os.environ["WANDB_API_KEY"]',
        'login(os.environ.get("HF_TOKEN", ""), token=token)',
        'url = f"https://{user}:{password}@example.org"',
        "def login(password: str, token: str | None = None) -> None:",
        'tokenizer = "bert-base-uncased"; max_tokens = 4096',
        "# the secret is in the environment, the token in a file",
        'weights = "efficientnetv2-b0_noisy-student_i224_e300_lr1e-3"',
    ],
)
def test_what_names_a_secret_is_none(line: str) -> None:
    check_no_secrets({}, {"a.py": line})
    with pytest.raises(SecretFound):  # on the line after it there is one
        check_no_secrets({}, {"a.py": f'{line}\npassword = "{PASSED}"'})
