"""Solvers: what scikit-learn gives, folded into one layer or computed by the head of kernels."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from small_training import draw, make_training, raw_validation, recipe

from podium.models.kernel_head import KernelRegression, split_channels
from podium.training.solvers import (
    RIDGE,
    STRENGTHS,
    TEMPERATURES,
    WIDTH,
    KernelFit,
    fit_kernel,
    fit_logistic,
    predict_logits,
    score_logits,
)

CLASSES = 3


# --- Logistic regression


def logistic_problem(
    classes: int, views: int = 2, images: int = 90
) -> tuple[np.ndarray, np.ndarray]:
    """Features in views (views, 90, 5) that tell the class, of channels on different scales."""
    random = np.random.default_rng(classes)
    labels = np.arange(90) % classes
    centers = random.normal(0, 1, (classes, 5))
    noise = random.normal(0, 1, (views, 90, 5))
    features = (centers[labels] + noise) * [1, 10, 0.1, 1000, 1] + [0, 5, 0, -3000, 0]
    return features.astype(np.float32), np.eye(classes, dtype=np.float32)[labels]


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_is_scikit_learns_on_standardized_features(classes: int) -> None:
    features, labels = logistic_problem(classes)
    fitted = fit_logistic(features, labels)
    x, y = features.reshape(-1, 5), np.tile(labels.argmax(axis=1), 2)
    scaler = StandardScaler()
    regression = LogisticRegression(C=fitted.strength).fit(scaler.fit_transform(x), y)
    logits = x @ fitted.weights + fitted.bias
    mine = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mine, regression.predict_proba(scaler.transform(x)), atol=2e-3)
    assert fitted.rows == 180


def test_the_score_is_of_the_images_given() -> None:
    features, labels = logistic_problem(3)
    fitted = fit_logistic(features, labels)
    good = fitted.score(features[0], labels)
    wrong = fitted.score(features[0], np.roll(labels, 1, axis=1))
    assert good["accuracy"] > 0.6 > 0.4 > wrong["accuracy"]
    assert good["log_loss"] < 1.1 < wrong["log_loss"]


def test_clear_classes_get_a_weak_penalty_and_noise_a_strong_one() -> None:
    features, labels = logistic_problem(2)
    random = np.random.default_rng(0)
    clear = features + 1e4 * labels[:, :1].astype(np.float32)
    assert fit_logistic(clear, labels).strength == STRENGTHS[-1]
    noise = random.normal(0, 1, (1, 900, 400)).astype(np.float32)
    assert fit_logistic(noise, np.tile(labels, (10, 1))).strength == STRENGTHS[0]


def test_large_features_are_thinned_out() -> None:
    features, labels = logistic_problem(2)
    assert fit_logistic(features, labels, most=5 * 90).rows == 90, "one view of each"
    assert fit_logistic(features, labels, most=5 * 30).rows == 30, "of some images"


def test_classes_that_no_image_shows_are_improbable() -> None:
    features, labels = logistic_problem(2)
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
    features, labels = logistic_problem(3, views=4)
    assert fit_logistic(features, labels, seconds=0.0).rows == 90, "one view of each"
    assert fit_logistic(features, labels, seconds=1e6).rows == 360


# --- Kernel regression


def kernel_problem(images: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (images, 12) that tell the class, on different scales; one channel is constant."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % CLASSES
    centers = np.random.default_rng(7).normal(0, 1, (CLASSES, 12))
    features = centers[labels] + random.normal(0, 1, (images, 12))
    features = features * np.geomspace(0.5, 5, 12) + np.arange(12)
    features[:, 5] = 3.0
    return features.astype(np.float32), np.eye(CLASSES, dtype=np.float32)[labels]


def head_of(
    kernel: KernelFit, parts: tuple[int, ...] = (1,), centers: int = 100
) -> KernelRegression:
    layer = KernelRegression(centers, CLASSES, parts)
    layer.build((None, kernel.centers.shape[1]))
    layer.set(kernel.mean, kernel.scale, kernel.centers, kernel.dual)
    return layer


def standardized(features: np.ndarray, of: np.ndarray) -> np.ndarray:
    deviation = of.std(axis=0)
    return (features - of.mean(axis=0)) / np.where(deviation > 0, deviation, 1)


@pytest.mark.jax
def test_one_part_is_scikit_learns_kernel_ridge() -> None:
    features, labels = kernel_problem()
    fitted = fit_kernel(features, labels, [12], most=1000)
    x = standardized(features.astype(np.float64), features)
    squares = ((x[::7, None] - x) ** 2).sum(axis=-1)
    ridge = KernelRidge(alpha=RIDGE, kernel="rbf", gamma=WIDTH / np.median(squares))
    ridge.fit(x, 2 * labels - 1)
    others, _ = kernel_problem(seed=1)
    expected = ridge.predict(standardized(others, features)) * fitted.temperature
    found = keras.ops.convert_to_numpy(head_of(fitted)(others))
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert np.ptp(expected) > 1


def test_the_parts_kernels_are_summed() -> None:
    features, labels = kernel_problem()
    fitted = fit_kernel(features, labels, [4, 8], most=1000)
    x, kernel = standardized(features.astype(np.float64), features), 0
    others, _ = kernel_problem(seed=1)
    y, between = standardized(others, features), 0
    for part in (slice(0, 4), slice(4, 12)):
        squares = ((x[:, None, part] - x[:, part]) ** 2).sum(axis=-1)
        gamma = WIDTH / np.median(squares[::7])
        kernel = kernel + np.exp(-gamma * squares)
        between = between + np.exp(-gamma * ((y[:, None, part] - x[:, part]) ** 2).sum(axis=-1))
    dual = np.linalg.solve(kernel + 2 * RIDGE * np.eye(90), 2 * labels - 1)
    found = predict_logits(head_of(fitted, (1, 2)), others)
    np.testing.assert_allclose(found, between @ dual * fitted.temperature, atol=0.01)


def test_left_out_is_really_left_out() -> None:
    """Solve again without one image, in the same standardization."""
    features, labels = kernel_problem()
    fitted = fit_kernel(features, labels, [12], most=1000)
    x = fitted.centers.astype(np.float64)
    kernel = np.exp(-((x[:, None] - x) ** 2).sum(axis=-1))
    for one in (0, 17, 89):
        rest = np.arange(90) != one
        ridge = KernelRidge(alpha=RIDGE, kernel="precomputed")
        ridge.fit(kernel[np.ix_(rest, rest)], 2 * labels[rest] - 1)
        expected = ridge.predict(kernel[[one]][:, rest])[0] * fitted.temperature
        np.testing.assert_allclose(fitted.left_out[one], expected, atol=0.01)
    score = score_logits(fitted.left_out, labels)
    kept = score_logits(predict_logits(head_of(fitted), features), labels)
    assert 0.5 < score["accuracy"] < kept["accuracy"], "a training image is its own center"


def test_the_temperature_is_the_best_of_those_tried() -> None:
    features, labels = kernel_problem()
    fitted = fit_kernel(features, labels, [12], most=1000)
    raw = fitted.left_out / fitted.temperature
    right = labels.astype(bool)
    losses = [-log_softmax(raw * t, axis=1)[right].mean() for t in TEMPERATURES]
    assert TEMPERATURES[0] < fitted.temperature < TEMPERATURES[-1]
    assert score_logits(fitted.left_out, labels)["log_loss"] == pytest.approx(min(losses), rel=1e-4)


def test_no_more_centers_than_there_may_be_and_unused_ones_weigh_nothing() -> None:
    features, labels = kernel_problem()
    some = fit_kernel(features, labels, [12], most=30)
    assert len(some.rows) == len(some.centers) == len(some.dual) == 30
    assert len(np.unique(some.rows)) == 30
    assert (some.rows[0], some.rows[-1]) == (0, 89)
    exact = fit_kernel(features[some.rows], labels[some.rows], [12], most=30)
    np.testing.assert_allclose(exact.dual, some.dual, atol=1e-5)
    others, _ = kernel_problem(seed=1)
    np.testing.assert_allclose(
        predict_logits(head_of(some, centers=30), others),
        predict_logits(head_of(some, centers=47), others),
        atol=1e-5,
    )


@pytest.mark.parametrize("images", [1, 2])
def test_hardly_any_images_give_finite_numbers(images: int) -> None:
    features, labels = kernel_problem(images)
    fitted = fit_kernel(features, labels, [4, 8], most=10)
    logits = predict_logits(head_of(fitted, (1, 2)), kernel_problem(seed=1)[0])
    assert np.isfinite(logits).all() and logits.shape == (90, CLASSES)


def test_all_channels_are_in_some_part() -> None:
    assert split_channels(21, (1, 4, 16)) == [1, 4, 16]
    assert split_channels(64, (1,)) == [64]
    assert sum(split_channels(100, (1, 4, 16))) == 100


def test_the_layer_is_made_again_from_its_settings() -> None:
    layer = KernelRegression(7, CLASSES, (1, 2), name="logits")
    again = KernelRegression.from_config(layer.get_config())
    assert (again.count, again.classes, again.parts) == (7, CLASSES, (1, 2))
    assert again.name == "logits" and again.compute_dtype == "float32"


def test_images_that_a_network_labeled_join_but_do_not_judge() -> None:
    """They are easy: judged with them, the outputs would be made sharper."""
    features, labels = kernel_problem()
    means = np.stack([features[labels[:, label] == 1].mean(axis=0) for label in range(CLASSES)])
    easy = np.tile(means, (40, 1)) + np.random.default_rng(0).normal(0, 0.01, (120, 12))
    easy_labels = np.tile(np.eye(CLASSES, dtype=np.float32), (40, 1))
    both = (
        np.concatenate([features, easy.astype(np.float32)]),
        np.concatenate([labels, easy_labels]),
    )
    joined = fit_kernel(*both, [12], most=1000, labeled=90)
    assert len(joined.rows) == 210
    raw = joined.left_out[:90] / joined.temperature
    losses = [-log_softmax(raw * t, axis=1)[labels.astype(bool)].mean() for t in TEMPERATURES]
    assert joined.temperature == TEMPERATURES[int(np.argmin(losses))]
    assert joined.temperature < fit_kernel(*both, [12], most=1000).temperature

    assert fit_kernel(*both, [12], most=100, labeled=90).rows[:90].tolist() == list(range(90))
    few = fit_kernel(*both, [12], most=60, labeled=90).rows
    assert len(few) == 60 and few.max() == 89, "those with labels of their own come first"


# --- In a fold's training


def test_a_fold_is_solved_kept_and_not_solved_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernels = recipe(
        backbone="resnet-small",
        head={"width": 0, "centers": 40},
        cached_views=1,
        augmentation={"mirror": False, "crop": 1.0, "rotate": 0.0, "light": 0.0, "color": 0.0},
        stages=[{"solver": "kernel"}],
    )
    images = draw(tmp_path)
    training = make_training(kernels, images, tmp_path / "fold")
    training.run()
    said = capsys.readouterr().out
    assert "stage 1 of 1: the head by kernel regression, 16 px" in said
    assert "kernel regression on 24 of 24 images" in said
    history = training.folder.read_history()
    assert len(history) == 1
    probabilities = training.network.model.predict(raw_validation(images), verbose=0)
    right = images.validation_labels.astype(bool)
    loss = -np.log(probabilities[right]).mean()
    assert loss == pytest.approx(history["val_loss"][0], rel=1e-3)
    assert history["accuracy"][0] > 0.5, "of left-out training images"
    assert not (tmp_path / "fold" / "floor.json").exists()

    # Another initial network: what predicts is what was kept.
    again = make_training(kernels, images, tmp_path / "fold", seed=99)
    again.run()
    assert json.loads(history.to_json()) == json.loads(again.folder.read_history().to_json())
    np.testing.assert_allclose(
        again.network.model.predict(raw_validation(images), verbose=0), probabilities, atol=1e-6
    )


# --- Sigmoids: several labels an image, or grades


def sigmoid_problem() -> tuple[np.ndarray, np.ndarray]:
    """Features in views (2, 90, 5) that tell two labels, and a third that no image has."""
    features, classes = logistic_problem(4)
    number = classes.argmax(axis=1)
    labels = np.stack([number % 2, number // 2, np.zeros(len(number))], axis=1)
    return features, labels.astype(np.float32)


def test_each_output_has_a_logistic_regression_of_its_own() -> None:
    features, labels = sigmoid_problem()
    fitted = fit_logistic(features, labels, exclusive=False)
    x = features.reshape(-1, 5)
    predicted = 1 / (1 + np.exp(-(x @ fitted.weights + fitted.bias)))
    for column in (0, 1):
        scaler, y = StandardScaler(), np.tile(labels[:, column], 2)
        regression = LogisticRegression(C=fitted.strength).fit(scaler.fit_transform(x), y)
        expected = regression.predict_proba(scaler.transform(x))[:, 1]
        np.testing.assert_allclose(predicted[:, column], expected, atol=2e-3)
    assert predicted[:, 2].max() < 1e-6
    score = fitted.score(features[0], labels)
    assert score["accuracy"] == pytest.approx(((predicted[:90] > 0.5) == labels).mean())
    right = np.where(labels, predicted[:90], 1 - predicted[:90])
    assert score["log_loss"] == pytest.approx(-np.log(right).mean(), rel=1e-4)


def test_a_kernels_temperature_is_chosen_by_the_loss_of_the_sigmoids() -> None:
    features, labels = sigmoid_problem()
    fitted = fit_kernel(features[0], labels, [5], most=1000, exclusive=False)
    raw = fitted.left_out / fitted.temperature
    losses = [score_logits(raw * t, labels, exclusive=False)["log_loss"] for t in TEMPERATURES]
    assert fitted.temperature == TEMPERATURES[int(np.argmin(losses))]
    assert score_logits(fitted.left_out, labels, exclusive=False)["accuracy"] > 0.75
