"""The optimisers of a recipe, with a momentum that the one-cycle schedule can move."""

import keras
from keras import ops

from podium.recipe import Recipe

SGD_MOMENTUM = 0.9


class CycledSGD(keras.optimizers.SGD):
    """SGD whose momentum is a variable: Keras' own is fixed when the step is traced."""

    def update_step(self, gradient, variable, learning_rate):
        velocity = self.momentums[self._get_variable_index(variable)]
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        momentum = ops.cast(self.cycled_momentum, variable.dtype)
        self.assign(velocity, momentum * velocity - rate * gradient)
        self.assign_add(variable, velocity)


def make_optimizer(recipe: Recipe, learning_rate: float) -> keras.optimizers.Optimizer:
    """The recipe's optimiser; its `cycled_momentum` variable is what the schedule assigns."""
    shared = {
        "learning_rate": learning_rate,
        "global_clipnorm": recipe.clip_norm,
        "clipvalue": recipe.clip_value,
        "weight_decay": recipe.weight_decay,
    }
    if recipe.optimizer == "sgd":
        optimizer = CycledSGD(momentum=SGD_MOMENTUM, **shared)
        optimizer.cycled_momentum = keras.Variable(SGD_MOMENTUM, trainable=False)
    else:
        kinds = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}
        optimizer = kinds[recipe.optimizer](**shared)
        # A variable in place of Keras' constant; Adam's first moment is its momentum.
        optimizer.beta_1 = keras.Variable(optimizer.beta_1, trainable=False)
        optimizer.cycled_momentum = optimizer.beta_1
    # Biases and norms are not decayed: it would pull them to zero for nothing.
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer
