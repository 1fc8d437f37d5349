"""Scores on Kaggle beside those of runs: from the real client, kept with the hash of the file."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from kaggle_stand_in import StandIn
from kaggle_stand_in.competitions import Competition as StandInCompetition
from podium.competitions import get_competition
from podium.kaggle import leaderboard
from podium.kaggle.leaderboard import digest, read_leaderboard
from podium.predictions.combine import assemble
from podium.runs.run_folder import RunFolder
from small_runs import write_run

Command = Callable[..., tuple[int, str, str]]
NAMES = "abcdef"
SLUG = "clocks"


@dataclass
class Project:
    """Runs with submissions, and their competition on the stand-in."""

    kaggle: StandIn
    there: StandInCompetition
    folder: Path

    def csv(self, run: str) -> Path:
        return self.folder / "submissions" / f"{run}.csv"

    def send_elsewhere(self, run: str, public: str, private: str | None = None) -> None:
        """Submit a run by other means than Podium's, and have it scored."""
        sent = self.there.submit(f"{run}.csv", "", self.csv(run).read_bytes())
        sent.status, sent.public_score, sent.private_score = "COMPLETE", public, private

    def asked(self) -> list[str]:
        return [method for method, _ in self.kaggle.calls]


@pytest.fixture
def project(
    stand_in: StandIn, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """Six runs of clocks or crocs, which Kaggle has a competition of."""
    (tmp_path / "kernels").mkdir()
    kind = type(get_competition("clocks-or-crocs"))
    monkeypatch.setattr(kind, "kaggle_source", f"competitions/{SLUG}")
    project = Project(stand_in, StandInCompetition(SLUG, data / "none.zip"), tmp_path)
    for seed, name in enumerate(NAMES):
        assemble(write_run(tmp_path / "weights" / name, seed=seed))
        os.utime(project.csv(name), (1e9, 1e9))
    project.there.truth = tmp_path / "truth.csv"
    project.there.truth.write_text("id,label\nNA,clock\n10,clock\n2,crocodile\n")
    stand_in.competitions[SLUG] = project.there
    return project


def line(out: str, run: str) -> list[str]:
    return next(one.split() for one in out.splitlines() if one.split()[:1] == [run])


def test_a_score_that_was_waited_for_is_kept_with_its_hash(
    project: Project, command: Command
) -> None:
    assert "public" not in command("runs")[1]
    csv = project.csv("a")
    words = ("submit", "clocks-or-crocs", csv, "-m", "x", "--poll", "0.1")
    assert command(*words, "--wait")[0] == 0
    [kept] = read_leaderboard(SLUG).submissions
    assert kept.sha256 == digest(csv) and kept.file == "a.csv" and kept.public is not None
    asked = project.asked()
    out = command("runs")[1]
    assert f"{kept.public:g}" in line(out, "a") and "private" not in out
    assert "another file" not in out and "without a score" not in out

    before = csv.read_text()
    csv.write_text(before.replace("2,", "2,x"))
    assert f"{kept.public:g} (of another file)" in command("runs")[1]
    csv.write_text(before)
    assert "another file" not in command("runs")[1]

    assert project.asked() == asked, "podium runs asks nobody"
    assert command(*words)[0] == 0
    assert "submissions without a score: 1; podium runs --fetch asks" in command("runs")[1]


def test_all_scores_come_at_once_with_what_is_left_today(
    project: Project, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaderboard, "PAGE", 2)
    for number, name in enumerate(NAMES[:4]):
        project.send_elsewhere(name, f"0.{number + 1}0000", f"0.{number + 5}")
    code, out, _ = command("runs", "--fetch")
    assert code == 0
    assert "submissions left today: 1" in out and "Spearman" not in out
    assert {"0.1", "0.5"} <= {*line(out, "a")} and {"0.4", "0.8"} <= {*line(out, "d")}
    assert project.asked() == [*["ListSubmissions"] * 3, "GetSubmissionLimits"]

    project.send_elsewhere("e", "0.25")
    out = command("runs", "clocks-or-crocs", "--fetch")[1]
    scores = [RunFolder(project.folder / "weights" / name).read_score() for name in NAMES[:5]]
    values = [score["score"]["value"] for score in scores]
    expected = spearmanr(values, [0.1, 0.2, 0.3, 0.4, 0.25]).statistic
    assert f"of out-of-fold and public scores: {expected:.2f} (of 5 runs)" in out
    assert "submissions left today: 0" in out

    found = json.loads(command("runs", "--json")[1])["competitions"][0]
    assert found["correlation"] == pytest.approx(expected) and found["correlated_runs"] == 5
    assert found["submissions_left_today"] == 0
    sent = {run["run"]: run for run in found["runs"]}
    assert (
        sent["f"]["public"] is None
        and sent["a"]["private"] == 0.5
        and not sent["a"]["of_another_file"]
    )


def test_where_kaggle_does_not_say_what_is_left_it_is_counted(
    project: Project, command: Command
) -> None:
    project.there.tells_limits, project.there.daily_limit = False, 3
    project.send_elsewhere("a", "0.5")
    project.there.submissions[0].date = "2020-01-01T00:00:00.000000Z"
    project.send_elsewhere("b", "0.5")
    project.there.submit("c.csv", "", b"").status = "ERROR"
    assert "submissions left today: 2" in command("runs", "--fetch")[1]
    assert command("submit", "clocks-or-crocs", project.csv("d"), "-m", "x")[0] == 0
    assert "submissions left today: 1" in command("runs")[1]


def test_of_what_was_sent_elsewhere_the_hash_is_known_if_it_is_the_same_file(
    project: Project, command: Command
) -> None:
    project.send_elsewhere("a", "0.5")
    project.send_elsewhere("b", "0.75")
    with project.csv("b").open("a") as csv:
        csv.write("\n")
    out = command("runs", "--fetch")[1]
    assert "0.75 (of another file)" in out and "0.5 (of" not in out
    project.csv("a").unlink()  # nothing here says that it changed
    assert "0.5 (of" not in command("runs")[1]


def test_no_answer_is_one_line_and_changes_nothing(project: Project, command: Command) -> None:
    project.send_elsewhere("a", "0.5")
    command("runs", "--fetch")
    before = (project.folder / "weights" / "leaderboard.json").read_bytes()
    project.kaggle.fail("ListSubmissions", 401)
    code, out, errors = command("runs", "--fetch")
    assert code == 1 and not out
    assert f"podium: asking for the submissions to {SLUG}: Kaggle answers 401" in errors
    assert (project.folder / "weights" / "leaderboard.json").read_bytes() == before


def test_a_score_that_is_no_number_is_none(project: Project, command: Command) -> None:
    project.send_elsewhere("a", "nan")
    project.send_elsewhere("b", "\x1b[2J")
    assert command("runs", "--fetch")[0] == 0
    assert [one.public for one in read_leaderboard(SLUG).submissions] == [None, None]
