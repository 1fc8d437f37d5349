"""The audit of the dependencies: when it fails, and that it never does for want of a network."""

import json
import re
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SOUND = {"name": "numpy", "version": "2.0", "vulns": []}
KNOWN = {
    "name": "pillow", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["9.9", "10.1"]}]
}  # fmt: skip
UNKNOWN = {"name": "other", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """.ci/audit, whose database answers."""
    loader = SourceFileLoader("audit", str(ROOT / ".ci" / "audit"))
    spec = spec_from_loader("audit", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    (tmp_path / "json").write_text(json.dumps({"vulnerabilities": []}))
    monkeypatch.setattr(module, "PROBE", (tmp_path / "json").as_uri())
    monkeypatch.setattr("sys.argv", ["audit"])
    return module


@pytest.mark.parametrize(
    ("said", "words", "lock_is_new", "code", "printed"),
    [
        ([SOUND], [], False, 0, "0 vulnerabilities known of 1 packages"),
        ([SOUND, KNOWN], [], False, 1, "pillow 1.0: CVE-1, mended in 9.9, 10.1"),
        ([SOUND, KNOWN], ["--ci"], False, 0, "this commit does not fail for it"),
        ([SOUND, KNOWN], ["--ci"], True, 1, "1 vulnerabilities known of 2 packages"),
        ([SOUND, UNKNOWN], [], False, 0, "not known there: other"),
        ([SOUND, UNKNOWN, UNKNOWN], [], False, 0, "left out: .*2 of 3 packages are not known"),
    ],
)
def test_what_comes_of_an_audit(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    said: list[dict], words: list[str], lock_is_new: bool, code: int, printed: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(script, "audit", lambda: said)
    monkeypatch.setattr(script, "lock_is_new", lambda: lock_is_new)
    monkeypatch.setattr("sys.argv", ["audit", *words])
    assert script.main() == code
    out = capsys.readouterr().out
    assert re.search(printed, out), out


@pytest.mark.parametrize("answer", ["", "{}", "<html>a proxy</html>"])
def test_without_the_database_it_is_left_out(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path, answer: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(script, "audit", lambda: pytest.fail("it was not to begin"))
    (tmp_path / "json").write_text(answer) if answer else (tmp_path / "json").unlink()
    assert script.main() == 0
    out = capsys.readouterr().out
    assert out.startswith("audit: left out: the database of vulnerabilities")
    assert out.count("\n") == 1
