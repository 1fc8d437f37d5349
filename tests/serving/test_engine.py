"""The networks that serve predict what `podium classify` does of the same images."""

from pathlib import Path

import numpy as np
import pytest

from conftest import as_sent
from podium.competitions.boxes import BOX_COLUMNS
from podium.predictions.classify import classify
from podium.runs.run_folder import RunFolder
from podium.serving.engine import Engine
from podium.serving.schema import Prediction

pytestmark = pytest.mark.usefixtures("in_the_project")


@pytest.fixture(scope="module")
def squares(engine: Engine, unseen: list[Path]) -> np.ndarray:
    return as_sent([path.read_bytes() for path in unseen], engine)


def by_class(prediction: Prediction) -> dict[str, float]:
    return {score.name: score.probability for score in prediction.classes}


def edges(box: dict[str, float]) -> np.ndarray:
    return np.array([box[name] for name in BOX_COLUMNS])


@pytest.mark.jax_slow
def test_several_networks_predict_their_mean_as_classify_does(
    run: RunFolder, engine: Engine, unseen: list[Path], squares: np.ndarray
) -> None:
    both = Engine(run, networks=2)
    expected = classify(run, unseen, views=1)
    alone = engine.predict(squares)
    pairs = zip(both.predict(squares), expected.images, alone, strict=True)
    for prediction, other, by_first in pairs:
        assert by_class(prediction) == pytest.approx(other.probabilities, abs=1e-4)
        in_pixels = edges(prediction.box) * [28, 24, 28, 24] + [1, 1, 0, 0]  # counted from 1
        in_pixels[2:] = np.maximum(in_pixels[2:], in_pixels[:2])  # and one at the least
        assert in_pixels == pytest.approx(list(other.box.values()), abs=0.06)
        assert prediction.ood_score == pytest.approx(other.ood_score, rel=1e-3)
        assert prediction.ood == other.ood
        assert np.abs(edges(prediction.box) - edges(by_first.box)).max() > 1e-3


@pytest.mark.jax_slow
def test_batches_of_any_size_give_the_same(engine: Engine, squares: np.ndarray) -> None:
    together = engine.predict(squares)
    for number, prediction in enumerate(together):
        (alone,) = engine.predict(squares[number : number + 1])
        assert by_class(alone) == pytest.approx(by_class(prediction), abs=1e-4)
        np.testing.assert_allclose(
            alone.classes[0].heat, prediction.classes[0].heat, rtol=0, atol=2e-3
        )


def test_the_likeliest_classes_have_heat_and_the_score_a_p_value(
    engine: Engine, squares: np.ndarray
) -> None:
    for prediction in engine.predict(squares):
        probabilities = [score.probability for score in prediction.classes]
        assert probabilities == sorted(probabilities, reverse=True)
        for score in prediction.classes:  # two of them
            assert np.shape(score.heat) == (4, 4)  # 16 px at a quarter
            assert np.max(score.heat) in (0, 1)
        assert prediction.ood_p_value == round(engine.ood_detector.p_value(prediction.ood_score), 4)
