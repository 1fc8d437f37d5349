"""What Podium needs of the backend that Keras computes with, and that Keras itself does not offer.

Both backends have the same names here; nothing else in Podium knows which one there is, but for
`podium.system`, which starts it. `on_openvino` predicts in TensorFlow's place.
"""
# ruff: noqa: F401

import keras

if keras.config.backend() == "jax":
    from podium.models.backend.on_jax import (
        COMPILES_ALL,
        Devices,
        column_gradients,
        compile_network,
        compiled,
        engine,
        feed,
        free_stage,
        set_rates,
        silu,
        sum_over_devices,
        synchronizes_batchnorm,
        tensorboard,
    )
else:
    from podium.models.backend.on_openvino import compile_network, engine
    from podium.models.backend.on_tensorflow import (
        COMPILES_ALL,
        Devices,
        column_gradients,
        compiled,
        feed,
        free_stage,
        set_rates,
        silu,
        sum_over_devices,
        synchronizes_batchnorm,
        tensorboard,
    )
