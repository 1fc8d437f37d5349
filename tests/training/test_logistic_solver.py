"""Logistic regression on features: what scikit-learn gives, folded into one layer."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from podium.training import logistic_solver
from podium.training.logistic_solver import STRENGTHS, fit_logistic


def problem(classes: int, views: int = 2, images: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Features in views (views, images, 5) that tell the class, of channels of unlike scale."""
    random = np.random.default_rng(classes)
    labels = np.arange(images) % classes
    centers = random.normal(0, 1, (classes, 5))
    noise = random.normal(0, 1, (views, images, 5))
    features = (centers[labels] + noise) * [1, 10, 0.1, 1000, 1] + [0, 5, 0, -3000, 0]
    return features.astype(np.float32), np.eye(classes, dtype=np.float32)[labels]


@pytest.mark.parametrize("classes", [2, 4])
def test_it_is_scikit_learns_on_standardized_features(classes: int) -> None:
    features, labels = problem(classes)
    fitted = fit_logistic(features, labels)
    x, y = features.reshape(-1, 5), np.tile(labels.argmax(axis=1), 2)
    scaler = StandardScaler()
    regression = LogisticRegression(C=fitted.strength).fit(scaler.fit_transform(x), y)
    logits = x @ fitted.weights + fitted.bias
    mine = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mine, regression.predict_proba(scaler.transform(x)), atol=2e-3)
    assert fitted.rows == 180


def test_the_score_is_of_the_images_given() -> None:
    features, labels = problem(3)
    fitted = fit_logistic(features, labels)
    good = fitted.score(features[0], labels)
    wrong = fitted.score(features[0], np.roll(labels, 1, axis=1))
    assert good["accuracy"] > 0.6 > 0.4 > wrong["accuracy"]
    assert good["log_loss"] < 1.1 < wrong["log_loss"]


def test_clear_classes_get_a_weak_penalty_and_noise_a_strong_one() -> None:
    features, labels = problem(2)
    random = np.random.default_rng(0)
    clear = features + 1e4 * labels[:, :1].astype(np.float32)
    assert fit_logistic(clear, labels).strength == STRENGTHS[-1]
    noise = random.normal(0, 1, (1, 900, 400)).astype(np.float32)
    assert fit_logistic(noise, np.tile(labels, (10, 1))).strength == STRENGTHS[0]


def test_large_features_are_thinned_out(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = problem(2)
    monkeypatch.setattr(logistic_solver, "LARGEST", 5 * 90)
    assert fit_logistic(features, labels).rows == 90, "one view of each"
    monkeypatch.setattr(logistic_solver, "LARGEST", 5 * 30)
    assert fit_logistic(features, labels).rows == 30, "of some images"


def test_classes_that_no_image_shows_are_improbable() -> None:
    features, labels = problem(2)
    three = np.pad(labels, [(0, 0), (0, 1)])
    fitted = fit_logistic(features, three)
    logits = features[0] @ fitted.weights + fitted.bias
    assert (logits.argmax(axis=1) < 2).all()
    alone = np.zeros_like(three)
    alone[:, 2] = 1
    fitted = fit_logistic(features, alone)
    assert fitted.score(features[0], alone) == {
        "accuracy": 1.0,
        "log_loss": pytest.approx(0, abs=1e-6),
    }


def test_images_that_a_network_labeled_do_not_choose_the_penalty() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 1, (1, 900, 50)).astype(np.float32)
    labels = np.eye(2, dtype=np.float32)[np.arange(900) % 2]
    clear = noise + 1e3 * (2 * labels[:, :1] - 1)
    both = np.concatenate([noise, clear], axis=1), np.concatenate([labels, labels])
    chosen = [fit_logistic(*both, labeled).strength for labeled in (900, None)]
    assert chosen[0] < chosen[1]
    assert fit_logistic(*both, 900).rows == 1800, "but they are fitted on"


def test_where_time_is_short_it_takes_fewer_views() -> None:
    features, labels = problem(3, views=4)
    assert fit_logistic(features, labels, seconds=0.0).rows == 90, "one view of each"
    assert fit_logistic(features, labels, seconds=1e6).rows == 360
