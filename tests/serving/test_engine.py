"""The networks that serve say what `podium classify` says of the same images."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from podium.files.image_io import read_image
from podium.models.network import build_network
from podium.predictions.classify import answer, open_run
from podium.predictions.tta import VIEWS
from podium.runs.run_folder import RunFolder
from podium.serving.decoding import decode_upload
from podium.serving.engine import Engine
from podium.serving.limits import RequestLimits
from podium.serving.uploads import Upload

pytestmark = pytest.mark.usefixtures("in_the_project")


def squares(paths: list[Path], engine: Engine) -> np.ndarray:
    """As they come in."""
    uploads = [Upload(path.name, path.read_bytes()) for path in paths]
    return np.stack(
        [decode_upload(one, RequestLimits(), engine.side, engine.size).pixels for one in uploads]
    )


@pytest.fixture
def two(run: RunFolder, tmp_path: Path) -> RunFolder:
    """The run with a second network, which is another one."""
    folder = RunFolder(shutil.copytree(run.path, tmp_path / "two"))
    shutil.copytree(folder.fold(0).path, folder.fold(1).path)
    network = build_network(folder.read_recipe(), 2, pretrained=False).model
    folder.fold(0).read_weights(network)
    random = np.random.default_rng(0)
    network.set_weights([one + random.normal(0, 0.02, one.shape) for one in network.get_weights()])
    folder.fold(1).write_weights(network)
    return folder


def test_the_mean_of_networks_is_what_classify_says(two: RunFolder, unseen: list[Path]) -> None:
    both, first = Engine(two, networks=2), Engine(two)
    seen, by_first = (one.see(squares(unseen, one)) for one in (both, first))
    expected = answer(two, unseen, views=1)
    for one, other, alone in zip(seen, expected.images, by_first, strict=True):
        found = dict(zip(both.classes, one.probabilities, strict=True))
        assert found == pytest.approx(other.probabilities, abs=1e-4)
        in_pixels = one.box * [28, 24, 28, 24] + [1, 1, 0, 0]  # counted from 1, of 28 by 24
        in_pixels[2:] = np.maximum(in_pixels[2:], in_pixels[:2])  # and one at the least
        assert in_pixels == pytest.approx(list(other.box.values()), abs=0.06)
        assert one.score == pytest.approx(other.score, rel=1e-3)
        assert np.abs(one.box - alone.box).max() > 1e-3, "the second one has a say"


def test_one_network_is_the_first_fold_s(run: RunFolder, engine: Engine, unseen: list[Path]):
    looker, folds = open_run(run)
    looker.open(folds[0])
    expected = looker.predict([looker.shrink(read_image(path)) for path in unseen], VIEWS[:1])
    seen = engine.see(squares(unseen, engine))
    np.testing.assert_allclose(
        [one.probabilities for one in seen], expected.probabilities[:, 0], atol=1e-4
    )


def test_batches_of_any_size_say_the_same(engine: Engine, unseen: list[Path]) -> None:
    together = engine.see(squares(unseen, engine))
    for path, one in zip(unseen, together, strict=True):
        (alone,) = engine.see(squares([path], engine))
        np.testing.assert_allclose(alone.probabilities, one.probabilities, atol=1e-4)
        np.testing.assert_allclose(alone.heat, one.heat, atol=1e-3)


def test_each_of_the_likeliest_classes_has_its_heat(engine: Engine, unseen: list[Path]) -> None:
    for one in engine.see(squares(unseen, engine)):
        assert one.top[0] == one.probabilities.argmax()
        assert one.heat.shape == (2, 4, 4)  # two classes; 16 px at a quarter
        assert one.heat.min() >= 0
        assert one.heat.max(axis=(1, 2)) == pytest.approx(1) or not one.heat.any(axis=(1, 2)).all()


def test_how_unlike_is_a_share_of_known_images(engine: Engine, unseen: list[Path]) -> None:
    known = engine.ood_detector.known
    for one in engine.see(squares(unseen, engine)):
        expected = (np.sum(known >= one.score) + 1) / (len(known) + 1)
        assert one.beyond == pytest.approx(expected)
