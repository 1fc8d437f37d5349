"""Initial values of variables, by NumPy: JAX compiles each shape, half a minute for a B6."""

import math

import keras
import numpy as np
from keras import initializers

CUT = 2.0  # standard deviations at which a normal distribution is cut
CUT_DEVIATION = 0.87962566103423978  # of what is left of it


def draw_by_numpy() -> None:
    """Have NumPy draw the values of all variables that are made from now on, as far as it can."""
    by_keras = keras.Variable._initialize_with_initializer

    def initialize(variable: keras.Variable, initializer: object) -> None:
        values = initial_values(initializer, variable._shape)
        if values is None:
            by_keras(variable, initializer)
        else:
            variable._initialize(variable._convert_to_tensor(values, variable._dtype))

    keras.Variable._initialize_with_initializer = initialize


def initial_values(initializer: object, shape: tuple[int, ...]) -> np.ndarray | None:
    """Values of the distribution of Keras' initializer, float32; None where it is another one's."""
    constants = {initializers.Zeros: 0.0, initializers.Ones: 1.0}
    if type(initializer) in constants:
        return np.full(shape, constants[type(initializer)], np.float32)
    seed = getattr(initializer, "seed", None)
    if not isinstance(seed, int):
        return None
    random = np.random.default_rng(seed)
    if type(initializer) is initializers.RandomNormal:
        return random.normal(initializer.mean, initializer.stddev, shape).astype(np.float32)
    if not isinstance(initializer, initializers.VarianceScaling) or len(shape) < 2:
        return None
    # He et al. 2015, arXiv:1502.01852, and Glorot and Bengio 2010, as the initializer says.
    field = math.prod(shape[:-2])
    fans = {"fan_in": shape[-2] * field, "fan_out": shape[-1] * field}
    fans["fan_avg"] = sum(fans.values()) / 2
    variance = initializer.scale / max(1.0, fans[initializer.mode])
    if initializer.distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return random.uniform(-limit, limit, shape).astype(np.float32)
    values = random.normal(size=shape)
    if initializer.distribution == "truncated_normal":
        while (beyond := np.abs(values) > CUT).any():
            values[beyond] = random.normal(size=beyond.sum())
        values /= CUT_DEVIATION
    return (math.sqrt(variance) * values).astype(np.float32)
