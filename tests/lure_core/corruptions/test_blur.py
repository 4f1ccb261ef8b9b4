"""Glass against a walk pixel by pixel; the other blurs by what they must leave alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lure_core.corruptions import blur, corrupt, draws
from tests.lure_core.corruptions.pictures import create_pictures


@pytest.mark.parametrize(("side", "reach"), [(8, 1), (32, 1), (70, 4)])
def test_glass_displaces_as_a_walk_over_all_pixels_does(side: int, reach: int) -> None:
    """The published loop, its swap of two views of an array included."""
    pixels = np.arange(side * side).reshape(side, side, 1)
    steps = np.random.default_rng(0).integers(-reach, reach, (2, side, side))
    for row in range(side - reach, reach, -1):
        for column in range(side - reach, reach, -1):
            there = (row + steps[0, row, column], column + steps[1, row, column])
            pixels[row, column], pixels[there] = pixels[there], pixels[row, column]
    found = blur.displaced(torch.from_numpy(steps)[None], reach)
    assert np.array_equal(found[0].numpy(), pixels.flatten())


def test_glass_steps_reach_as_far_one_way_as_published() -> None:
    """`randint(-d, d)` leaves out d itself."""
    steps = (draws.uniform(draws.generators(0, "x", range(4)), 2, 16, 16) * 4).long() - 2
    assert sorted(steps.unique().tolist()) == [-2, -1, 0, 1]


@pytest.mark.parametrize("family", ["defocus-blur", "glass-blur", "motion-blur", "zoom-blur"])
@pytest.mark.parametrize("side", [8, 80])
def test_a_blur_leaves_one_colour_alone(family: str, side: int) -> None:
    images = torch.tensor([30, 120, 250], dtype=torch.uint8).view(1, 3, 1, 1)
    images = images.expand(2, 3, side, side)
    apart = corrupt(images, family, 5, seed=0).int() - images.int()
    assert int(apart.abs().max()) <= 1


@pytest.mark.parametrize("family", ["defocus-blur", "motion-blur", "zoom-blur"])
def test_a_blur_keeps_the_mean_and_takes_the_detail(family: str) -> None:
    images = create_pictures(8)
    changed = corrupt(images, family, 5, seed=0)
    assert float(changed.float().mean()) == pytest.approx(float(images.float().mean()), rel=0.04)
    assert detail(changed) < 0.5 * detail(images)


def detail(images: torch.Tensor) -> float:
    return float(images.float().diff(dim=3).square().mean())
