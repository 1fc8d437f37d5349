"""The optimizers of a recipe: momentum that the schedule can move, a rate for each layer."""

from collections.abc import Sequence

import keras
from keras import ops

from podium.models.backend import sum_over_devices
from podium.recipes.recipe import Recipe

SGD_MOMENTUM = 0.9
NOT_DECAYED = ("bias", "beta", "gamma")  # biases and norms: decay would pull them to 0 for nothing


class _Scaled:
    """Mixed into an optimizer: each variable learns and decays at a rate of its own.

    Keras decays all variables at the optimizer's one rate, so that decoupled weight decay
    (arXiv:1711.05101) is done here as well.
    """

    rate_scales: Sequence[float] = ()  # as the trainable variables; none: 1 each
    decay = 0.0

    def build(self, variables):
        self._decayed = tuple(variable.name not in NOT_DECAYED for variable in variables)
        super().build(variables)

    def _clip_gradients(self, grads):
        """Clips what all devices found together: Keras clips each one's own before it sums them."""
        return super()._clip_gradients(sum_over_devices(grads))

    def _all_reduce_sum_gradients(self, grads_and_vars):
        """They are summed before they are clipped, and on one device need no sum.

        TensorFlow keeps the graph of a step that has asked for it as long as the process lives.
        """
        return grads_and_vars

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype)
        if self.rate_scales:
            rate = rate * self.rate_scales[index]
        if self.decay and self._decayed[index]:
            self.assign_sub(variable, variable * rate * self.decay)
        super().update_step(gradient, variable, rate)


class _CycledSGD(keras.optimizers.SGD):
    """SGD whose momentum is a variable: Keras' own is fixed when the step is traced."""

    def update_step(self, gradient, variable, learning_rate):
        velocity = self.momentums[self._get_variable_index(variable)]
        gradient = ops.cast(gradient, variable.dtype)
        momentum = ops.cast(self.cycled_momentum, variable.dtype)
        self.assign(velocity, momentum * velocity - learning_rate * gradient)
        self.assign_add(variable, velocity)


class ScaledSGD(_Scaled, _CycledSGD):
    """SGD with momentum."""


class ScaledAdam(_Scaled, keras.optimizers.Adam):
    """Adam; with weight decay it is AdamW."""


class SharedLossScale(keras.optimizers.LossScaleOptimizer):
    """Scales the loss for float16, and skips a step if the gradients of any device overflow.

    Keras asks the first device alone, whose gradients it takes for the sum over all of them: an
    overflow on another one then ends in weights that are no numbers.
    """

    def check_finite(self, grads):
        overflown = ops.cast(ops.logical_not(super().check_finite(grads)), "float32")
        return ops.equal(sum_over_devices([overflown])[0], 0.0)


def make_optimizer(
    recipe: Recipe, learning_rate: float, rate_scales: Sequence[float] = ()
) -> keras.optimizers.Optimizer:
    """The recipe's optimizer; its `cycled_momentum` variable is what the schedule assigns.

    In float16 it is wrapped in one that scales the loss.

    Args:
        rate_scales: of each trainable variable, in the order in which it is built with them.
    """
    shared = {
        "learning_rate": learning_rate,
        "global_clipnorm": recipe.clip_norm,
        "clipvalue": recipe.clip_value,
        "use_ema": recipe.ema is not None,
        "ema_momentum": recipe.ema or 0.0,
    }
    if recipe.optimizer == "sgd":
        optimizer = ScaledSGD(momentum=SGD_MOMENTUM, **shared)
        optimizer.cycled_momentum = keras.Variable(SGD_MOMENTUM, trainable=False)
    else:
        optimizer = ScaledAdam(**shared)
        # A variable in place of Keras' constant; Adam's first moment is its momentum.
        optimizer.beta_1 = keras.Variable(optimizer.beta_1, trainable=False)
        optimizer.cycled_momentum = optimizer.beta_1
    optimizer.decay, optimizer.rate_scales = recipe.weight_decay, tuple(rate_scales)
    if keras.config.dtype_policy().compute_dtype == "float16":
        return SharedLossScale(optimizer)
    return optimizer
