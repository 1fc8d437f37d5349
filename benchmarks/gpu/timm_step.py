"""Part e: the step of part b by timm on PyTorch, as its users run it, where that is installed."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from benchmarks.gpu.parts import Found, Sizes, largest_stage

# Of images with values from 0 to 255, as Podium's preprocessing has them.
MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)
CLASSES = 10


def measure(found: Found, sizes: Sizes) -> None:
    try:
        import timm
        import torch
    except ImportError as error:
        found.add(left_out=f"{error.name} is not installed")
        return
    recipe = sizes.large_recipe()
    number = largest_stage(recipe)
    size = recipe.stage_size(number)
    batch_size = recipe.stages[number].batch_size or recipe.batch_size
    on_gpu = torch.cuda.is_available()
    name = f"tf_{recipe.backbone.replace('-', '_')}"
    name = name if name in timm.list_models() else "tf_efficientnet_b0"
    found.add(
        device=torch.cuda.get_device_name() if on_gpu else "cpu",
        network=name,
        image_size=size,
        batch_size=batch_size,
        torch=torch.__version__,
        timm=timm.__version__,
    )
    step = _training(name, size, batch_size, on_gpu)
    began = time.perf_counter()
    for number in range(2):
        step(number)
    _wait(on_gpu)
    found.add(first_steps_seconds=round(time.perf_counter() - began, 1))  # cuDNN's search
    turns = []
    for _ in range(sizes.turns):
        began = time.perf_counter()
        for number in range(sizes.timed):
            step(number)
        _wait(on_gpu)
        turns.append((time.perf_counter() - began) / sizes.timed)
    found.add(
        step_seconds=median(turns),
        images_a_second=batch_size / median(turns),
        step_seconds_measured=turns,
        peak_memory_gb=round(torch.cuda.max_memory_allocated() / 1e9, 2) if on_gpu else None,
    )


def _training(name: str, size: int, batch_size: int, on_gpu: bool) -> Callable[[int], None]:
    """A step on made-up images from memory: all layers but BatchNorm, which is frozen."""
    import timm
    import torch

    torch.backends.cudnn.benchmark = True
    device = "cuda" if on_gpu else "cpu"
    network = timm.create_model(name, pretrained=False, num_classes=CLASSES, drop_path_rate=0.2)
    network = network.to(device, memory_format=torch.channels_last).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
            for parameter in module.parameters():
                parameter.requires_grad = False
    learning = [one for one in network.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(learning, 1e-4, fused=on_gpu)
    has_bfloat16 = not on_gpu or torch.cuda.get_device_capability() >= (8, 0)
    half = torch.bfloat16 if has_bfloat16 else torch.float16
    scaler = torch.amp.GradScaler(device, enabled=half == torch.float16)
    random = np.random.default_rng(0)
    shape = (batch_size, size, size, 3)
    images = [random.integers(0, 256, shape, dtype=np.uint8) for _ in range(4)]
    labels = [random.integers(0, CLASSES, batch_size) for _ in range(4)]
    mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
    deviation = torch.tensor(DEVIATION, device=device).view(1, 3, 1, 1)

    def step(number: int) -> None:
        given = torch.from_numpy(images[number % 4]).to(device, non_blocking=True)
        given = (given.permute(0, 3, 1, 2).float() - mean) / deviation
        given = given.contiguous(memory_format=torch.channels_last)
        truth = torch.from_numpy(labels[number % 4]).to(device)
        with torch.autocast(device, dtype=half):
            loss = torch.nn.functional.cross_entropy(network(given), truth)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    return step


def _wait(on_gpu: bool) -> None:
    import torch

    if on_gpu:
        torch.cuda.synchronize()
