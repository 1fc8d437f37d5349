"""The audit of the dependencies: when it fails, and that it never does for want of a network."""

import re
import subprocess
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

SOUND = {"name": "numpy", "version": "2.0", "vulns": []}
KNOWN = {
    "name": "pillow", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["9.9", "10.1"]}]
}  # fmt: skip
UNKNOWN = {"name": "other", "skip_reason": "not found"}


@pytest.fixture
def script() -> ModuleType:
    """.ci/audit"""
    loader = SourceFileLoader("audit", str(Path(__file__).parents[1] / ".ci" / "audit"))
    spec = spec_from_loader("audit", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("packages", "words", "lock_is_new", "code", "printed"),
    [
        ([SOUND], [], False, 0, "0 vulnerabilities of 1 packages, 0 not known"),
        ([SOUND, KNOWN], [], False, 1, "pillow 1.0: CVE-1, fixed in 9.9, 10.1"),
        ([SOUND, KNOWN], ["--ci"], False, 0, "this commit does not fail for it"),
        ([SOUND, KNOWN], ["--ci"], True, 1, "1 vulnerabilities of 2 packages"),
        ([SOUND, UNKNOWN], [], False, 0, "0 vulnerabilities of 2 packages, 1 not known"),
        ([UNKNOWN, UNKNOWN], [], False, 0, "left out: .* has none of the packages"),
    ],
)
def test_it_fails_for_what_is_known(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    packages: list[dict], words: list[str], lock_is_new: bool, code: int, printed: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(script, "audit", lambda: packages)
    monkeypatch.setattr(script, "lock_is_new", lambda: lock_is_new)
    monkeypatch.setattr("sys.argv", ["audit", *words])
    assert script.main() == code
    assert re.search(printed, capsys.readouterr().out)


@pytest.mark.parametrize("answer", ["", "no JSON"])
def test_without_the_database_it_is_left_out_in_a_line(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    answer: str,
) -> None:  # fmt: skip
    done = subprocess.CompletedProcess([], 1, answer, "ConnectionError:\nno route")
    monkeypatch.setattr(script.subprocess, "run", lambda *_, **__: done)
    assert script.main() == 0
    out = capsys.readouterr().out
    assert out.startswith("audit: left out: no database of vulnerabilities (")
    assert out.count("\n") == 1
