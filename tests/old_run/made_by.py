"""Drew the data of old_run.tar.xz, whose runs Podium trained as it was at commit 0d24f74."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

root = Path(sys.argv[1])
data = root / "input" / "clocks-or-crocs"
rng = np.random.default_rng(18)


def draw(path, label):
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:32, :32]
    cy, cx = rng.uniform(12, 20, 2)
    r = np.hypot(y - cy, x - cx) if label == 0 else np.abs(y - cy) * 1.0 + rng.uniform(0, 2)
    shape = (r < rng.uniform(6, 11)).astype(float)
    blotches = np.kron(rng.normal(0, 1, (8, 8, 3)), np.ones((4, 4, 1))) * 25
    noise = blotches + rng.normal(0, 12, (32, 32, 3))
    color = rng.uniform(60, 200, 3)
    img = 100 + noise + shape[..., None] * (color - 100)
    Image.fromarray(img.clip(0, 255).astype(np.uint8)).save(path)


for label, name in enumerate(("clock", "crocodile")):
    for n in range(12):
        draw(data / "train" / name / f"{name}-{n}.png", label)
for n in range(6):
    draw(data / "test" / f"test-{n}.png", n % 2)
recipe = """competition = "clocks-or-crocs"
backbone = "resnet-8"
weights = "none"
image_size = 32
batch_size = 8
folds = 2
views = 2
cached_views = 2

stages = [
    { unfreeze = "head", epochs = 2, learning_rate = 0.003 },
    { unfreeze = "all", epochs = 2, learning_rate = 0.003 },
]

[head]
width = 8

[augmentation]
mirror = true
colour = 0.1
light = 0.1
"""
(root / "kernels" / "tiny").mkdir(parents=True)
(root / "kernels" / "tiny" / "recipe.toml").write_text(recipe)
