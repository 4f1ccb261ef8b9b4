"""Weather against the reference's formulas where they are short."""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt
import pytest
import torch

from lure_core.corruptions import corrupt, draws, weather
from tests.lure_core.corruptions.pictures import create_pictures


def diamond_square(noise: npt.NDArray[np.float64], decay: float) -> npt.NDArray[np.float64]:
    """Point by point, on a torus."""
    side = len(noise)
    heights, step, wobble = np.zeros((side, side)), side, 100.0

    def put(row: int, column: int, around: list[tuple[int, int]]) -> None:
        mean = sum(heights[r % side, c % side] for r, c in around) / 4
        heights[row, column] = mean + wobble * wobble * noise[row, column]

    while step >= 2:
        half = step // 2
        for row in range(half, side, step):
            for column in range(half, side, step):
                diagonal = [(row + a, column + b) for a in (-half, half) for b in (-half, half)]
                put(row, column, diagonal)
        for row in range(0, side, half):
            for column in range((row + half) % step, side, step):
                beside = [(row, column - half), (row, column + half)]
                put(row, column, [*beside, (row - half, column), (row + half, column)])
        step, wobble = half, wobble / decay
    heights -= heights.min()
    result: npt.NDArray[np.float64] = heights / heights.max()
    return result


@pytest.mark.parametrize(("side", "decay"), [(8, 3), (32, 1.75)])
def test_plasma_is_the_diamond_square_algorithm(side: int, decay: float) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (2, side, side))
    found = weather.plasma(torch.from_numpy(noise), decay)
    for index in range(2):
        assert np.allclose(found[index].numpy(), diamond_square(noise[index], decay), atol=1e-9)


def test_fog_is_the_reference_formula_on_the_same_plasma() -> None:
    images = create_pictures(2, side=20)
    noise = 2 * draws.uniform(draws.generators(7, "fog", range(2)), 32, 32) - 1
    changed = corrupt(images, "fog", 3, seed=7).numpy()
    for index in range(2):
        x = images[index].numpy() / 255.0
        layer = diamond_square(noise[index].double().numpy(), 2.5)[:20, :20]
        reference = np.clip((x + 0.75 * layer) * x.max() / (x.max() + 0.75), 0, 1) * 255
        assert np.abs(changed[index] - reference).max() <= 0.5 + 1e-2


@pytest.mark.parametrize("side", [16, 72])
def test_brightness_raises_the_value_of_hsv(side: int) -> None:
    images = create_pictures(1, side=side)
    images[0, :, 0, 0], images[0, :, 0, 1] = 0, 255
    images[0, :, 0, 2] = torch.tensor([255, 0, 0])
    more = 0.3 if side == 16 else 0.5
    changed = corrupt(images, "brightness", 5, seed=0)[0]
    for row in range(0, side, 3):
        for column in range(side):
            h, s, v = colorsys.rgb_to_hsv(*(images[0, :, row, column] / 255).tolist())
            reference = torch.tensor(colorsys.hsv_to_rgb(h, s, min(1, v + more))) * 255
            assert float((changed[:, row, column] - reference).abs().max()) <= 0.5 + 1e-3


def test_grey_pictures_grow_brighter_by_the_same_everywhere() -> None:
    images = create_pictures(1, side=8, channels=1).clamp(max=150)
    changed = corrupt(images, "brightness", 5, seed=0)
    assert bool(((changed.float() - images.float() - 0.3 * 255).abs() <= 0.5 + 1e-3).all())


def test_ice_is_of_middling_brightness_and_differs_from_pane_to_pane() -> None:
    ice = weather.crystals(draws.generators(0, "frost", range(16)), 64, 64)
    assert float(ice.min()) >= 0
    assert float(ice.max()) <= 1
    assert 0.4 < float(ice.mean()) < 0.65
    assert float(ice.std(dim=(1, 2, 3)).min()) > 0.1
    assert float((ice[0] - ice[1]).abs().mean()) > 0.1


def test_snow_whitens_and_takes_colour() -> None:
    red = torch.tensor([200, 20, 20], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    changed = corrupt(red, "snow", 5, seed=0).float()
    assert float(changed.mean()) > float(red.float().mean())
    assert float(changed[:, 0].mean() - changed[:, 1].mean()) < 180 - 5
    assert bool((changed.amin(dim=1) > 200).any()), "no flake"
