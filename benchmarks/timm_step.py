"""A training step by timm on PyTorch, run by an interpreter that has them: prints images/s.

python benchmarks/timm_step.py MODEL SIZE BATCH STEPS
"""

import sys
import time
from statistics import median

import timm
import torch


def main(name: str, size: int, batch: int, steps: int) -> float:
    """As its users train on a CPU: float32, channels_last, AdamW; BatchNorm frozen as Podium's."""
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, num_classes=10, drop_path_rate=0.2)
    network = network.to(memory_format=torch.channels_last).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval().requires_grad_(False)
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learning, 1e-4, weight_decay=0.02)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    truth = torch.randint(0, 10, (batch,))
    times = []
    for _ in range(steps + 2):  # the first two warm up
        began = time.perf_counter()
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), truth, label_smoothing=0.1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        times.append(time.perf_counter() - began)
    return batch / median(times[2:])


if __name__ == "__main__":
    print(main(sys.argv[1], *map(int, sys.argv[2:])))
