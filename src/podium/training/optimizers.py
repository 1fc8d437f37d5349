"""The optimizers of a recipe: momentum that the schedule can move, a rate for each layer."""

from collections.abc import Sequence

import keras
from keras import ops

from podium.models.backend import sum_over_devices
from podium.recipes.recipe import Recipe

SGD_MOMENTUM = 0.9
NOT_DECAYED = ("bias", "beta", "gamma")  # biases and norms: decay would pull them to 0 for nothing
LAYER_SCALE = "layer_scale"  # of ConvNeXt; its one variable has no name of its own


class _Scaled:
    """Mixed into an optimizer: each variable learns and decays at a rate of its own.

    Keras decays all variables at the optimizer's one rate, so that decoupled weight decay
    (arXiv:1711.05101) is done here as well.
    """

    rate_scales: Sequence[float] = ()  # as the trainable variables; none: 1 each
    decay = 0.0

    def build(self, variables):
        self._decayed = tuple(
            variable.name not in NOT_DECAYED and LAYER_SCALE not in variable.path
            for variable in variables
        )
        super().build(variables)

    def _backend_apply_gradients(self, grads, trainable_variables):
        """Clips what all devices found together: Keras clips each one's own before it sums them.

        Where gradients accumulate, each batch takes a step, and every n-th one's counts: Keras
        would take it under a condition, within which TensorFlow's devices cannot meet.
        """
        grads, steps = sum_over_devices(grads), self.gradient_accumulation_steps
        if not steps:
            super()._backend_apply_gradients(grads, trainable_variables)
            return
        indices = map(self._get_variable_index, trainable_variables)
        held = [self._accumulated_gradients[index] for index in indices]
        pairs = [
            (one, ops.convert_to_tensor(before)) for one, before in zip(grads, held, strict=True)
        ]
        mean = self._clip_gradients([(one + before) / steps for one, before in pairs])
        added = [ops.where(self._is_due, -before, one) for one, before in pairs]
        self._backend_increment_gradient_accumulators(added, held)
        self._backend_update_step(mean, trainable_variables, self.learning_rate)
        self._update_model_variables_moving_average(self._trainable_variables)

    @property
    def _is_due(self):
        """Whether this batch ends a step."""
        return ops.equal((self._iterations + 1) % self.gradient_accumulation_steps, 0)

    def assign(self, variable, value):
        super().assign(variable, self._if_due(value, variable))

    def assign_add(self, variable, value):
        super().assign_add(variable, self._if_due(value, 0.0))

    def assign_sub(self, variable, value):
        super().assign_sub(variable, self._if_due(value, 0.0))

    def _if_due(self, value, otherwise):
        if not self.gradient_accumulation_steps:
            return value
        value = ops.convert_to_tensor(value)
        return ops.where(self._is_due, value, ops.convert_to_tensor(otherwise, value.dtype))

    def _update_model_variables_moving_average(self, trainable_variables):
        """Where gradients accumulate, Keras' average moves with each batch; this one with steps."""
        if not (self.use_ema and self.gradient_accumulation_steps):
            super()._update_model_variables_moving_average(trainable_variables)
            return
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            share = ops.where(self._is_due, 1 - self.ema_momentum, 0.0)
            share = ops.where(ops.equal(self.iterations, 0), 1.0, share)  # it begins with these
            average.assign(average + ops.cast(share, average.dtype) * (variable - average))

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
        "gradient_accumulation_steps": recipe.accumulate if recipe.accumulate > 1 else None,
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
