"""One-cycle: learning rate and momentum as a function of the step (Smith, arXiv:1803.09820)."""

import math

from podium.recipes.tables import OneCycle


def one_cycle(step: int, steps: int, peak: float, cycle: OneCycle) -> tuple[float, float | None]:
    """The learning rate and momentum at a step of a stage.

    Args:
        step: counted from 0; steps past the end keep the last values.
        steps: steps of the whole stage.
        peak: the highest learning rate.

    Returns:
        Learning rate, and momentum or None where the recipe leaves it alone.
    """
    # 1. Where in the cycle: the rise reaches its peak at `top`, the fall its end at the last step.
    last = max(steps - 1, 1)
    top = cycle.warmup * last
    step = min(step, last)
    # 2. Rising: from the start to the peak, while the momentum falls.
    if step < top:
        share = _ease(step / top, cycle.shape)
        rate = _between(peak / cycle.start_divisor, peak, share)
    # 3. Falling: from the peak to (nearly) nothing, while the momentum rises again.
    else:
        share = 1 - _ease((step - top) / max(last - top, 1e-9), cycle.shape)
        rate = _between(peak / cycle.final_divisor, peak, share)
    # 4. The momentum mirrors the rate: `share` is 1 at the peak.
    momentum = _between(*cycle.momentum, share) if cycle.momentum else None
    return rate, momentum


def _ease(share: float, shape: str) -> float:
    return share if shape == "linear" else (1 - math.cos(math.pi * share)) / 2


def _between(start: float, end: float, share: float) -> float:
    return start + (end - start) * share
