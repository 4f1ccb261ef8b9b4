"""Small data, nets and settings for the tests of the core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from lure_core import models
from lure_core.config import CycleConfig, InputSpec, Normalisation
from lure_core.data import Batches, Samples
from lure_core.rng import forked, generator
from lure_core.types import Split

GOLDEN = Path(__file__).parents[1] / "data" / "snip.safetensors"
SIDE = 8


def create_samples(count: int, *, seed: int = 0, classes: int = 3, channels: int = 1) -> Samples:
    """Noise with a bright spot that tells the class; an eighth selects, an eighth judges."""
    draws = generator(seed)
    images = torch.randint(0, 128, (count, channels, SIDE, SIDE), generator=draws)
    labels = torch.randint(0, classes, (count,), generator=draws)
    for index, label in enumerate(labels.tolist()):
        images[index, :, 2 * label : 2 * label + 2, 2:4] += 127
    splits = torch.full((count,), int(Split.TRAIN), dtype=torch.uint8)
    splits[::8], splits[4::8] = int(Split.SELECT), int(Split.JUDGE)
    return Samples(images.to(torch.uint8), labels, splits)


def of_split(samples: Samples, split: Split) -> Samples:
    """The same images, all in one role."""
    return Samples(samples.images, samples.labels, torch.full_like(samples.splits, int(split)))


def create_config(
    *, recipe: dict[str, Any] | None = None, unlearn: dict[str, Any] | None = None, **others: Any
) -> CycleConfig:
    quick = {"epochs": 2, "batch_size": 32, "learning_rate": 0.05, "precision": "fp32"}
    plain = {
        "architecture": "resnet20s",
        "classes": ["a", "b", "c"],
        "input": {"channels": 1, "height": SIDE, "width": SIDE},
        "normalisation": {"mean": [0.3], "std": [0.2]},
        "seed": 5,
        "device": "cpu",
    }
    sections = {"recipe": quick | (recipe or {}), "unlearn": unlearn or {}}
    return CycleConfig.from_dict(plain | sections | others)


def create_net(seed: int = 0, architecture: str = "resnet20s") -> nn.Module:
    return models.build(architecture, classes=3, input=InputSpec(1, SIDE, SIDE), seed=seed)


def create_batches(count: int, *, seed: int = 0, size: int = 64) -> Batches:
    return Batches(create_samples(count, seed=seed), Normalisation((0.3,), (0.2,)), size)


def golden() -> tuple[dict[str, torch.Tensor], nn.Module, Batches]:
    """The published pruner's numbers, the net and the three batches they were taken on."""
    tensors = load_file(GOLDEN)
    with forked(0):
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, 10),
        )
    state = {n.removeprefix("state."): t for n, t in tensors.items() if n.startswith("state.")}
    net.load_state_dict(state)
    splits = torch.zeros(300, dtype=torch.uint8)
    samples = Samples(tensors["images_u8"], tensors["labels"], splits)
    return tensors, net, Batches(samples, Normalisation((0.0,) * 3, (1.0,) * 3), 100)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)
