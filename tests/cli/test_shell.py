"""Podium at a shell: its version, words completed, and no bars in a file."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]
REPOSITORY = Path(__file__).parents[2]


def test_the_version_names_the_commit(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"]
    head = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    code, out, _ = command("--version")
    assert code == 0 and out == f"podium 0.1.0, commit {head or 'not known'}\n"
    monkeypatch.setenv("PODIUM_COMMIT", "of a kernel")
    assert command("--version")[1].endswith(", commit of a kernel\n")


def test_a_shell_completes_the_names_of_entries_and_runs(tmp_path: Path) -> None:
    for name in ("mine-b0", "mine-b6", "other"):
        (tmp_path / "kernels" / name).mkdir(parents=True)
        (tmp_path / "kernels" / name / "recipe.toml").touch()
        (tmp_path / "weights" / f"{name}-run").mkdir(parents=True)
        (tmp_path / "weights" / f"{name}-run" / "run.json").touch()
    program = f"import sys; sys.argv = ['podium']; sys.path.insert(0, '{REPOSITORY}/src')"
    program += "; from podium.cli import main; main()"

    def offered(*words: str) -> list[str]:
        asked = {
            "_PODIUM_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["podium", *words]),
            "COMP_CWORD": str(len(words)),
        }
        run = [sys.executable, "-c", program]
        return subprocess.run(
            run, capture_output=True, text=True, cwd=tmp_path, env=asked
        ).stdout.split()

    assert offered("train", "mi") == ["mine-b0", "mine-b6"]
    assert offered("blend", "other-run", "mine-b6") == ["mine-b6-run"]
    assert "train" in offered("tr")


def test_a_file_gets_no_bars() -> None:
    program = """
import sys
sys.argv = ["podium", "--version"]
from podium.cli import main
try:
    main()
except SystemExit:
    pass
from tqdm import tqdm
for _ in tqdm(range(3), "a bar"):
    pass
"""
    outside = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, capture_output=True, text=True, env=outside)
    assert done.stdout.startswith("podium ") and done.stderr == ""
