"""Images a second of relearning, beside a plain training loop.

    python benchmarks/cycle.py [--images 256] [--epochs 1] [--repeats 3] [--json FILE]

Both train the same model on the same images with the same batch and epochs, in one process and in
turn, and the median of the repeats counts. The plain loop is what most training scripts do: fp32,
NCHW, one image at a time through PIL transforms and a DataLoader. Only the ratio means something
on another machine; it is 1.8 or more for ResNet-18 on a CPU with bf16 units.

Needs torch, torchvision, numpy, safetensors and pillow.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # a plain checkout, nothing installed

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lure_core import data, learn, models, precision
from lure_core.config import InputSpec, Recipe
from lure_core.data import Samples
from lure_core.feed import open_feed
from lure_core.models.cost import forward_flops
from lure_core.precision import Precision
from lure_core.rng import generator

SPEC = InputSpec(channels=3, height=32, width=32)
CLASSES = 10


def main() -> None:
    options = parse()
    torch.manual_seed(0)
    samples = create_images(options.images)
    rows = [measure(name, samples, options) for name in options.models]
    report(rows)
    if options.json:
        machine = {"processor": processor(), "threads": torch.get_num_threads()}
        document = {"machine": machine, "libraries": precision.libraries(), "rows": rows}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet20s"])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


def create_images(count: int) -> Samples:
    """Noise: what the pixels show costs neither loop anything."""
    draws = generator(0)
    shape = (count, SPEC.channels, SPEC.height, SPEC.width)
    return Samples(
        torch.randint(0, 256, shape, generator=draws, dtype=torch.uint8),
        torch.randint(0, CLASSES, (count,), generator=draws),
        torch.zeros(count, dtype=torch.uint8),
    )


def measure(name: str, samples: Samples, options: argparse.Namespace) -> dict[str, Any]:
    device = precision.device_of(options.device)
    flops = forward_flops(create_model(name), SPEC)
    chosen = precision.choose("auto", device=device, flops=flops)
    recipe = Recipe(batch_size=options.batch_size)
    ours = lambda: relearn(create_model(name), samples, recipe, options.epochs, chosen)  # noqa: E731
    plain = lambda: plain_loop(create_model(name), samples, recipe, options.epochs, device)  # noqa: E731
    ours_s, plain_s = in_turn(ours, plain, options.repeats)
    trained = len(samples) * options.epochs
    return {
        "model": name,
        "device": str(device),
        "precision": "bf16" if chosen.bf16 else "fp32",
        "layout": "NHWC" if chosen.channels_last else "NCHW",
        "relearn_images_per_s": trained / statistics.median(ours_s),
        "plain_images_per_s": trained / statistics.median(plain_s),
        "ratio": statistics.median(b / a for a, b in zip(ours_s, plain_s, strict=True)),
        "seconds": {"relearn": ours_s, "plain": plain_s},
    }


def in_turn(
    one: Callable[[], None], other: Callable[[], None], repeats: int
) -> tuple[list[float], list[float]]:
    """Seconds of each, alternating: a busy machine slows both. The first pair is not kept."""
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 1):
        for job, kept in zip((one, other), times, strict=True):
            began = time.perf_counter()
            job()
            if repeat:
                kept.append(time.perf_counter() - began)
    return times


def create_model(name: str) -> nn.Module:
    return models.build(name, classes=CLASSES, input=SPEC, seed=0)


def relearn(
    model: nn.Module, samples: Samples, recipe: Recipe, epochs: int, chosen: Precision
) -> None:
    """What a cycle does in its longest stage."""
    rows = [torch.arange(len(samples))]
    train = open_feed([samples], rows, device=chosen.device, resident_mib=None)
    none = samples.take(torch.empty(0, dtype=torch.long))
    by = data.normalisation(samples)
    task = learn.Task(train, none, by, recipe, epochs, seed=0, precision=chosen)
    learn.fit(learn.Learning.of(chosen.place(model), recipe), task=task, on_epoch=lambda _: None)


class Images(Dataset[tuple[torch.Tensor, int]]):
    """Decoded PIL images, transformed one at a time."""

    def __init__(self, samples: Samples, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        arrays = samples.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.images = [Image.fromarray(array) for array in arrays]
        self.labels = samples.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def plain_loop(
    model: nn.Module, samples: Samples, recipe: Recipe, epochs: int, device: torch.device
) -> None:
    """The usual script: the same augmentation, optimiser and schedule, nothing else in common."""
    by = data.normalisation(samples)
    steps = [
        transforms.RandomCrop(SPEC.height, padding=SPEC.height // 8),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(by.mean, by.std),
    ]
    images = Images(samples, transforms.Compose(steps))
    loader = DataLoader(images, batch_size=recipe.batch_size, shuffle=True)
    model = model.to(device).train()
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    for _ in range(epochs):
        for x, labels in loader:
            loss = F.cross_entropy(model(x.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def processor() -> str:
    listing = Path("/proc/cpuinfo")
    if not listing.exists():
        return platform.processor()
    names = [
        line.partition(":")[2] for line in listing.read_text().splitlines() if "model name" in line
    ]
    return names[0].strip() if names else platform.processor()


def report(rows: list[dict[str, Any]]) -> None:
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'model':<12}{'relearn':>10}{'plain':>10}{'ratio':>8}   images/s; relearn runs in")
    for row in rows:
        ours, plain, ratio = (
            row[k] for k in ("relearn_images_per_s", "plain_images_per_s", "ratio")
        )
        how = f"{row['precision']} {row['layout']} on {row['device']}"
        print(f"{row['model']:<12}{ours:>10.1f}{plain:>10.1f}{ratio:>7.2f}x   {how}")


if __name__ == "__main__":
    main()
