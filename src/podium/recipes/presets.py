"""Presets of `podium train`: a recipe for minutes, an hour or a night in place of the entry's.

What an entry says of its data stays: competition, folds, augmentation, label smoothing. The
changes of `--set` win, and the run's recipe holds what came of both.
"""

from typing import Any

COMMON = {"optimizer": "adamw", "clip_norm": 1.0, "drop_connect": None}
PRETRAINED = {
    **COMMON,
    "weights": "imagenet",
    "train_batchnorm": False,
    "batchnorm_momentum": None,
    "batch_size": 16,
    "weight_decay": 0.02,
    "head": {"width": 0, "dropout": 0.3},
    "one_cycle": {"warmup": 0.15, "final_divisor": 50.0, "momentum": []},
}
FROM_NOTHING = {
    **COMMON,
    # With few images ahead of an EfficientNet, and several times faster: its first layer is solved.
    "backbone": "resnet-patches",
    "weights": "none",
    "train_batchnorm": True,  # nothing to preserve: the statistics are learned here
    "batchnorm_momentum": 0.9,  # few steps: Keras' 0.99 would lag behind the weights
    "batch_size": 32,
    "weight_decay": 0.05,
    "head": {"width": 0, "dropout": 0.0},
    "one_cycle": {"momentum": []},
}


def _stage(unfreeze: str, epochs: int, learning_rate: float, **more: int) -> dict[str, Any]:
    return {"unfreeze": unfreeze, "epochs": epochs, "learning_rate": learning_rate, **more}


# What each sets always, with pretrained weights, from nothing; a table in docs/your-data.md.
PRESETS = {
    "quick": (
        {"time_budget": 4.0, "shares": [0.8, 0.2], "views": 2, "cached_views": 1},
        {
            "backbone": "efficientnet-b0",
            "image_size": 128,
            "stages": [_stage("head", 15, 2e-3), _stage("half", 5, 3e-4)],
        },
        {
            "image_size": 64,
            "stages": [_stage("all", 20, 4e-3), _stage("all", 6, 1e-3, image_size=96)],
        },
    ),
    "good": (
        {"time_budget": 60.0, "views": 4, "cached_views": 2},
        {
            "backbone": "efficientnet-b0",
            "image_size": 224,
            "stages": [_stage("head", 20, 2e-3), _stage("half", 12, 3e-4)],
        },
        {
            "image_size": 96,
            "stages": [_stage("all", 40, 4e-3), _stage("all", 12, 1e-3, image_size=128)],
        },
    ),
    "best": (
        {"time_budget": 600.0, "views": 8, "cached_views": 4},
        {
            "backbone": "efficientnet-b4",
            "image_size": 288,
            "stages": [
                _stage("head", 20, 2e-3),
                _stage("half", 14, 3e-4),
                _stage("all", 4, 5e-5, image_size=352, batch_size=8),
            ],
        },
        {
            "image_size": 128,
            "stages": [_stage("all", 80, 4e-3), _stage("all", 24, 1e-3, image_size=192)],
        },
    ),
}


def preset_keys(name: str, has_weights: bool = True) -> dict[str, Any]:
    """The keys of a recipe that a preset sets, with pretrained weights or from nothing.

    Raises:
        ValueError: there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; there are: {', '.join(PRESETS)}")
    always, pretrained, from_nothing = PRESETS[name]
    if has_weights:
        return {**PRETRAINED, **always, **pretrained}
    return {**FROM_NOTHING, **always, **from_nothing}
