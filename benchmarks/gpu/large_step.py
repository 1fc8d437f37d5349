"""Part b: a step of the largest stage, how much of the device it uses, and whether it learns."""

import re
from statistics import median
from typing import Any

import jax
import keras
import numpy as np

from benchmarks.gpu.device import about_device, ceilings, compilations, peak_gb
from benchmarks.gpu.fitting import OneCycle, fit, from_memory, opened, prepared
from benchmarks.gpu.parts import Found, Sizes, largest_stage
from benchmarks.measuring import in_turns, seconds
from podium.data.batches import Batches
from podium.models.backend import Devices, feed
from podium.models.network import Network
from podium.recipes.recipe import Recipe

AT_ONCE = 20  # steps that a loss is the mean of
COUNTED = 20.0  # seconds to lower the step once more
RANDOM_RATE = 1e-4  # at the peak, of weights that were not trained before


def measure(found: Found, sizes: Sizes, devices: Devices | None = None) -> None:
    recipe = sizes.large_recipe()
    number = largest_stage(recipe)
    found.add(
        **about_device(),
        entry=sizes.large[0],
        backbone=recipe.backbone,
        weights=recipe.weights,
        image_size=recipe.stage_size(number),
        batch_size=recipe.stages[number].batch_size or recipe.batch_size,
        unfreeze=recipe.stages[number].unfreeze,
    )
    with opened(sizes.large[0], recipe, devices or Devices()) as runner:
        built = []
        found.add(
            build_seconds=round(seconds(lambda: built.append(runner._training(0, None))), 1),
            policy=keras.config.dtype_policy().name,
        )
        [trainer] = built
        if recipe.weights == "none":
            keep_activations(trainer.network)
        model, batches = prepared(trainer, number, sizes.timed)
        held = from_memory(batches, sizes.held, sizes.learning)
        with compilations() as compiled:
            first = fit(model, held, 2, recipe, number)
        found.add(compile_seconds=round(first, 1), compiled=compiled)
        feeds = {"from memory": held, "by Podium": batches}
        measured = in_turns(
            {
                name: lambda one=one: fit(model, one, sizes.timed, recipe, number) / sizes.timed
                for name, one in feeds.items()
            },
            sizes.turns,
        )
        step = median(measured["from memory"])
        found.add(
            step_seconds=step,
            images_a_second=batches.batch_size / step,
            step_seconds_measured=measured,
            peak_memory_gb=peak_gb(),
        )
        found.add(**ceilings(sizes.matrix, sizes.copied))  # not before the memory is measured
        found.add(learning=learn(model, held, sizes.learning, recipe, number))
        if found.left > COUNTED:
            _add_shares(found, model, held)


def keep_activations(network: Network) -> None:
    """Scale the blocks of a network without weights so that what passes keeps its size.

    BatchNorm that is frozen and was never trained normalizes nothing: each block would add to what
    it is given, until it overflows. So each residual branch ends in a small factor (as in Zhang,
    Dauphin and Ma 2019, arXiv:1901.09321), and blocks without a way around them in a larger one.
    """
    for layer in network.backbone.layers:
        match = re.fullmatch(r"block\d+([a-z])_project_bn", layer.name)
        if match:
            layer.gamma.assign(layer.gamma * (3.5 if match[1] == "a" else 0.2))


def learn(
    model: keras.Model, held: Batches, steps: int, recipe: Recipe, number: int
) -> dict[str, Any]:
    """Train on the same few batches: the mean loss of each `AT_ONCE` steps, and what overflowed."""
    peak = RANDOM_RATE if recipe.weights == "none" else recipe.stages[number].learning_rate
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    before = int(inner.iterations.numpy())
    history = model.fit(
        feed(held),
        steps_per_epoch=AT_ONCE,
        epochs=steps // AT_ONCE,
        shuffle=False,
        callbacks=[OneCycle(peak, steps, recipe)],
        verbose=0,
    )
    losses = [round(float(loss), 4) for loss in history.history["loss"]]
    finite = all(np.isfinite(weight.numpy()).all() for weight in model.weights)
    found = {
        "peak_learning_rate": peak,
        "losses": losses,
        "falls": bool(losses[-1] < losses[0]),
        "weights_are_finite": bool(finite),
        "skipped_steps": AT_ONCE * len(losses) + before - int(inner.iterations.numpy()),
    }
    if inner is not optimizer:
        found["loss_scale"] = float(optimizer.dynamic_scale.numpy())
    return found


def _add_shares(found: Found, model: keras.Model, held: Batches) -> None:
    """Count what a step does, by XLA: how much of the ceilings is that?

    Operations are those of the network as written, counted for a CPU, because JAX has no such
    count for GPUs. Bytes are those of the step as compiled, which is in memory from before.
    """
    state = model._get_jax_state(
        trainable_variables=True,
        non_trainable_variables=True,
        optimizer_variables=True,
        metrics_variables=True,
    )
    given = state, next(iter(held))
    shapes = jax.tree.map(lambda one: jax.ShapeDtypeStruct(one.shape, one.dtype), given)

    def operations() -> float:
        with jax.default_device(jax.devices("cpu")[0]):
            return jax.jit(model.train_step).lower(*shapes).cost_analysis()["flops"]

    def moved() -> float:
        compiled = jax.jit(model.train_step, donate_argnums=0).lower(*given).compile()
        return compiled.cost_analysis()["bytes accessed"]

    for name, count in (("operations", operations), ("bytes", moved)):
        try:
            counted = count()
        except Exception as error:  # not every device counts; all else is measured by now
            found.add(**{f"{name}_a_step": f"not counted: {error}"})
            continue
        second = counted / found.values["step_seconds"]
        share = second / found.values[f"{name}_a_second"]
        found.add(**{f"{name}_a_step": counted, f"share_of_{name}_a_second": share})
