"""What holds for every family: form, range, determinism, and more harm at a higher severity."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from lure_core import corruptions
from lure_core.corruptions import FAMILIES, SEVERITIES, corrupt
from lure_core.corruptions.draws import generators
from lure_core.corruptions.strengths import CIFAR, IMAGENET, strength_of
from lure_core.errors import ConfigError
from tests.lure_core.corruptions.pictures import create_pictures

WITHOUT_CHANCE = {
    "defocus-blur",
    "zoom-blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg-compression",
}
NOT_BY_DISTANCE = {
    "glass-blur": "severity 2 of CIFAR-10-C displaces as far as 1 and blurs more, away from noise",
    "frost": "the picture fades while the ice whitens: its mean comes nearer again",
    "elastic-transform": "the published displacements grow shorter and rougher",
}


def distance(images: Tensor, family: str, severity: int) -> float:
    changed = corrupt(images, family, severity, seed=0)
    return float((changed.float() - images.float()).square().mean().sqrt())


def test_the_fifteen_families_have_five_strengths_each_for_small_and_large_images() -> None:
    assert len(FAMILIES) == 15
    assert set(CIFAR) == set(IMAGENET) == set(FAMILIES)
    assert all(len(row) == 5 for table in (CIFAR, IMAGENET) for row in table.values())
    assert strength_of("contrast", 5, side=64) == (0.15,)
    assert strength_of("contrast", 5, side=65) == (0.05,)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(NOT_BY_DISTANCE)))
def test_a_higher_severity_moves_pictures_further(family: str) -> None:
    """At severities 3 and 4 of motion blur CIFAR-10-C differs in what is next to nothing."""
    images = create_pictures(8)
    far = [distance(images, family, severity) for severity in SEVERITIES]
    assert far[0] > 1
    assert all(a < b or (family == "motion-blur" and a <= b) for a, b in pairwise(far)), far


@pytest.mark.parametrize("family", NOT_BY_DISTANCE)
def test_other_families_change_every_picture_at_every_severity(family: str) -> None:
    images = create_pictures(8)
    for severity in SEVERITIES:
        changed = corrupt(images, family, severity, seed=0).float() - images.float()
        assert bool((changed.abs().mean(dim=(1, 2, 3)) > 2).all())


def test_frost_leaves_less_of_the_picture_at_a_higher_severity() -> None:
    images = create_pictures(8)

    def likeness(severity: int) -> float:
        changed = corrupt(images, "frost", severity, seed=0)
        pairs = zip(images.flatten(1).numpy(), changed.flatten(1).numpy(), strict=True)
        return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]))

    alike = [likeness(severity) for severity in SEVERITIES]
    assert all(a > b for a, b in pairwise(alike)), alike


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (3, 8, 8), (1, 9, 21), (1, 66, 70)])
def test_shape_and_type_are_kept_and_no_value_is_lost(
    family: str, shape: tuple[int, int, int]
) -> None:
    C, H, W = shape
    pictures = create_pictures(1, side=max(H, W), channels=C)[:, :, :H, :W]
    black, white = torch.zeros_like(pictures), torch.full_like(pictures, 255)
    images = torch.cat([pictures, black, white])
    for severity in (1, 5):
        changed = corrupt(images, family, severity, seed=0)
        assert (changed.shape, changed.dtype) == (images.shape, torch.uint8)
        strength = strength_of(family, severity, side=max(H, W))
        by = generators(0, family, range(3))
        assert bool(corruptions._CORRUPTIONS[family](images / 255, strength, by).isfinite().all())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_given_images_stay_as_they_are(family: str) -> None:
    images = create_pictures(2, side=8)
    before = images.clone()
    corrupt(images, family, 5, seed=0)
    assert torch.equal(images, before)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("side", "channels"), [(32, 3), (8, 1)])
def test_an_image_is_corrupted_alike_in_every_batch(family: str, side: int, channels: int) -> None:
    images = create_pictures(7, side=side, channels=channels)
    together = corrupt(images, family, 5, seed=3)
    for index in (0, 4, 6):
        alone = corrupt(images[index : index + 1], family, 5, seed=3, indices=[index])
        assert torch.equal(alone[0], together[index])
    mixed = corrupt(images[[5, 2]], family, 5, seed=3, indices=[5, 2])
    assert torch.equal(mixed, together[[5, 2]])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_seed_and_the_index_decide(family: str) -> None:
    images = create_pictures(1, side=16).expand(2, -1, -1, -1)
    once, again = (corrupt(images, family, 3, seed=1) for _ in range(2))
    assert torch.equal(once, again)
    other = corrupt(images, family, 3, seed=2)
    assert torch.equal(once, other) == (family in WITHOUT_CHANCE)
    assert torch.equal(once[0], once[1]) == (family in WITHOUT_CHANCE)


def test_no_images_are_no_error() -> None:
    nothing = torch.empty(0, 3, 8, 8, dtype=torch.uint8)
    assert corrupt(nothing, "fog", 1, seed=0).shape == nothing.shape


def test_unknown_families_and_severities_are_refused() -> None:
    images = create_pictures(1, side=8)
    with pytest.raises(ConfigError, match=r"'rain' is none of gaussian-noise, .*jpeg"):
        corrupt(images, "rain", 1, seed=0)
    with pytest.raises(ConfigError, match=r"severity is one of \(1, 2, 3, 4, 5\), not 6"):
        corrupt(images, "fog", 6, seed=0)


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_rounds_otherwise_at_most(family: str) -> None:
    images = create_pictures(4)
    on_cpu = corrupt(images, family, 3, seed=0)
    on_gpu = corrupt(images.cuda(), family, 3, seed=0)
    assert on_gpu.device.type == "cuda"
    apart = (on_gpu.cpu().int() - on_cpu.int()).abs()
    assert float((apart > 1).float().mean()) < 0.001
