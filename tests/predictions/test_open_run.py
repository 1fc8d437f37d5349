"""docs/api.md: its cells run as they are, and what they give is what the commands give."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import podium
from podium.predictions.blend import blend
from podium.predictions.classify import classify
from podium.predictions.combine import assemble
from podium.runs.fold_folder import RunError
from small_runs import write_run

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_cells_of_the_page_run(trained_copy: Path) -> None:
    shutil.copytree("weights/tiny", "weights/sample-b0")
    photo = next(Path("input").rglob("*.png"), None) or next(Path("input").rglob("*.jpg"))
    shutil.copy(photo, "photo.jpg")
    cells = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(cells) == 3
    names: dict[str, object] = {}
    for cell in cells:
        exec(cell, names)
    run = names["run"]
    assert run.score.as_dict() == run.folder.read_score()["score"]
    assert names["right"].mean() == pytest.approx(run.score.value)
    predicted = run.predict([names["photo"]], views=2)
    assert predicted.dtypes.eq(np.float32).all() and predicted.shape[0] == 1
    [classified] = classify(run.folder, ["photo.jpg"], 2).images
    expected = pd.DataFrame([classified.probabilities])
    pd.testing.assert_frame_equal(predicted.astype(float), expected, atol=1e-6)


def test_images_of_several_sizes_and_of_a_wrong_form(trained_copy: Path) -> None:
    run = podium.open_run("tiny")
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (*size, 3), np.uint8) for size in ((20, 30), (64, 16))]
    both = run.predict(images)
    alone = run.predict(np.stack(images[1:]))
    np.testing.assert_allclose(both.to_numpy()[1:], alone, atol=1e-6)
    np.testing.assert_allclose(both.sum(axis=1), 1, atol=1e-6)
    for wrong in (images[0] / 255, images[0][..., 0]):
        with pytest.raises(ValueError, match=r"expected uint8 \(height, width, 3\)"):
            run.predict([wrong])


def test_blends_and_runs_that_are_not_trained_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernels").mkdir()
    folders = [write_run(tmp_path / "weights" / name, seed=i) for i, name in enumerate("ab")]
    with pytest.raises(RunError, match="train the run to its end first"):
        _ = podium.open_run("a").score
    results = [assemble(folder) for folder in folders]
    opened = podium.open_run(str(folders[0].path))
    assert opened.score == results[0].combined.score
    blended = blend(["a", "b"])
    opened = podium.open_run("blend")
    assert opened.score == blended.score and len(opened.out_of_fold) == 16
    with pytest.raises(RunError, match="is a blend of a, b"):
        opened.predict([np.zeros((16, 16, 3), np.uint8)])
    with pytest.raises(RunError, match="no run 'd'"):
        podium.open_run("d")


def test_importing_podium_imports_nothing_else() -> None:
    program = "import sys, podium; print({'numpy', 'pandas', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"
