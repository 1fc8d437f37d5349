"""Part c: the step of part b in float16, as on a GPU that has no bfloat16, with a scaled loss."""

import keras

from benchmarks.gpu import large_step
from benchmarks.gpu.parts import Found, Sizes
from podium.models.backend import Devices


class _InFloat16(Devices):
    def set_precision(self, mixed: bool) -> str:
        keras.mixed_precision.set_global_policy("mixed_float16")
        return "mixed_float16"


def measure(found: Found, sizes: Sizes) -> None:
    large_step.measure(found, sizes, _InFloat16())
