"""podium find-lr: what it prints, what it draws, what it refuses."""

from pathlib import Path

import pytest
from PIL import Image

from podium.experiments.find_lr import find_lr
from small_competitions import RECIPE, make_project

STAGES = """
[[stages]]
unfreeze = "head"
solver = "logistic"

[[stages]]
epochs = 1
learning_rate = 0.001
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    recipe = RECIPE.replace("width = 8", "width = 0").partition("stages")[0]
    make_project(tmp_path, "clocks-or-crocs", recipe.replace("head = {{", "head = {{ ") + STAGES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_rate_is_suggested_and_drawn(project: Path) -> None:
    found = find_lr("tiny", steps=12)
    assert found.stage == 1 and found.recipe_rate == 0.001
    assert found.curve.rates[0] == pytest.approx(1e-7)
    said = str(found)
    assert f"stages.1.learning_rate={found.curve.suggested:.1e}" in said
    assert found.figure.name == "tiny-stage-2.png"
    with Image.open(found.figure) as figure:
        assert figure.size[0] > 500
    left = [path for path in (project / "weights").rglob("*") if path.is_file()]
    assert left == [project / found.figure]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"stage": 3}, "stage 3: this recipe has the stages 1 to 2"),
        ({"stage": 1}, "stage 1 is solved by logistic regression"),
        ({"fold": 2}, "fold 2: this recipe has the folds 0 to 1"),
    ],
)
def test_a_stage_without_learning_rate_is_refused(
    project: Path, words: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        find_lr("tiny", **words)
    assert not (project / "weights").exists()
