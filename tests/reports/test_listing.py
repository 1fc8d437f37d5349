"""The overview of runs: scores as they are, and a broken run hides no other."""

import shutil
from pathlib import Path

import pytest

from podium.predictions.blend import blend
from podium.predictions.combine import assemble
from podium.reports.listing import list_runs
from podium.runs.fold_folder import RunError
from podium.runs.run_folder import RunFolder
from small_runs import write_run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished runs a and b, c that is only scored, and d that has just begun."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernels").mkdir()
    for seed, name in enumerate("ab"):
        assemble(write_run(tmp_path / "weights" / name, seed=seed))
    write_run(tmp_path / "weights" / "c", folds=[1], seed=2)
    write_run(tmp_path / "weights" / "d", folds=[])
    return tmp_path


def rows(text: str) -> dict[str, list[str]]:
    """The cells of each run."""
    lines = [line.split("  ") for line in text.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    return {line[0]: line[1:] for line in cells if line}


def test_each_run_has_its_folds_score_and_minutes(project: Path) -> None:
    found = rows(str(list_runs()))
    assert list(found)[:2] == ["clocks-or-crocs", "run"]
    for name in "ab":
        score = RunFolder(project / "weights" / name).read_score()["score"]
        interval = f"{score['low']:.4f} to {score['high']:.4f}"
        wanted = ["0, 1 of 2", f"accuracy {score['value']:.4f}", interval, "16", "2.0"]
        assert found[name] == [name, *wanted]  # (60 + 61) seconds
    assert found["c"][1] == "1 of 2" and found["c"][4:] == ["8", "1.0"]
    assert found["d"] == ["d", "none of 2"]
    assert not (project / "weights" / "c" / "score.json").exists(), "a look writes nothing"


def test_the_best_comes_first_and_what_has_no_score_last(project: Path) -> None:
    found = list(rows(str(list_runs("clocks-or-crocs"))).items())[2:]
    scores = [float(cells[2].split()[1]) for _, cells in found[:-1]]
    assert scores == sorted(scores, reverse=True) and len(scores) == 3
    assert found[-1][0] == "d"


def test_a_fold_that_came_since_counts(project: Path) -> None:
    whole = write_run(project / "elsewhere", seed=2)
    shutil.copytree(whole.fold(0).path, project / "weights" / "c" / "fold-0")
    assert rows(str(list_runs()))["c"][1:5:3] == ["0, 1 of 2", "16"]


def test_which_blends_use_a_run(project: Path) -> None:
    blended = blend(["a", "b"], to=Path("submissions/ab.csv"))
    used = {row["run"] for row in blended.folder.read_score()["runs"] if row["weight"] > 0}
    found = rows(str(list_runs()))
    assert found["ab"][0] == "a blend"
    assert f"{blended.score.value:.4f}" in found["ab"][1]
    for name in "ab":
        assert (found[name][-1] == "ab") == (name in used)


def test_a_score_that_is_too_good_is_called_so(project: Path) -> None:
    about = {"stage": 0, "from": "x", "above": 0.9, "knows_the_fold": "x has another split"}
    run = RunFolder(project / "weights" / "a")
    run.fold(1).write_pseudo({"stages": [{**about, "near_copies": 0, "labels": {}}]})
    assert "(leaky)" in rows(str(list_runs()))["a"][2]
    assert "leaky       the pseudo-labels of fold 1 reveal its labels" in str(assemble(run))
    assert run.read_score()["too_good"] == {"1": "x has another split"}
    with pytest.raises(RunError, match="a is leaky: its pseudo-labels of fold 1 reveal labels"):
        blend(["a", "b"])


def test_a_broken_run_is_named_and_hides_no_other(project: Path) -> None:
    (project / "weights" / "b" / "run.json").write_text("{")
    (project / "weights" / "c" / "fold-1" / "validation.csv").write_text("id,view\n")
    text = str(list_runs())
    assert "a" in rows(text)
    assert text.count(" cannot be read: ") == 2
    assert "b cannot be read: " in text and "is not as Podium writes it" in text


def test_no_runs(project: Path) -> None:
    assert str(list_runs("cars")) == f"no such runs in {project / 'weights'}"
    with pytest.raises(ValueError, match="clocks-or-crocs"):
        str(list_runs("clocks"))
