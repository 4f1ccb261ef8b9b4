"""Noise against its formulas, and against what the law of large numbers says of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lure_core.corruptions import corrupt, draws
from tests.lure_core.corruptions.pictures import create_pictures


def flat(level: int, *, side: int = 32) -> torch.Tensor:
    return torch.full((8, 3, side, side), level, dtype=torch.uint8)


def test_gaussian_noise_is_the_reference_formula_on_the_same_draws() -> None:
    images = create_pictures(3)
    noise = draws.normal(draws.generators(5, "gaussian-noise", range(3)), 3, 32, 32).numpy()
    reference = np.clip(images.numpy() / 255.0 + 0.09 * noise, 0, 1) * 255
    changed = corrupt(images, "gaussian-noise", 4, seed=5).numpy()
    assert np.abs(changed - reference).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(("side", "deviation"), [(32, 0.10), (72, 0.38)])
def test_gaussian_noise_has_the_published_deviation(side: int, deviation: float) -> None:
    noise = draws.normal(draws.generators(0, "gaussian-noise", range(8)), 3, side, side)
    expected = ((127 / 255 + deviation * noise).clamp(0, 1) * 255).std()
    changed = corrupt(flat(127, side=side), "gaussian-noise", 5, seed=0).float()
    assert float(noise.std()) == pytest.approx(1, rel=0.02)
    assert float(changed.std()) == pytest.approx(float(expected), rel=0.01)


@pytest.mark.parametrize("level", [60, 180])
def test_shot_noise_counts_photons(level: int) -> None:
    """Mean and variance of a count are one: of value v with c photons, v and v / c."""
    changed = corrupt(flat(level), "shot-noise", 5, seed=0).double() / 255
    value, photons = level / 255, 50
    assert float(changed.mean()) == pytest.approx(value, rel=0.01)
    if level == 60:  # a brighter one is cut off at white
        assert float(changed.var()) == pytest.approx(value / photons, rel=0.03)
    steps = changed * photons
    assert float((steps - steps.round()).abs().max()) < 0.5 * photons / 255 + 1e-6


def test_impulse_noise_is_half_salt_half_pepper_in_the_published_share() -> None:
    changed = corrupt(flat(100), "impulse-noise", 5, seed=0)
    salt, pepper = (changed == 255).float().mean(), (changed == 0).float().mean()
    assert float(salt) == pytest.approx(0.035, rel=0.1)
    assert float(pepper) == pytest.approx(0.035, rel=0.1)
    assert float((changed == 100).float().mean()) == pytest.approx(0.93, rel=0.01)


def test_a_higher_severity_hits_the_same_pixels_and_more() -> None:
    mild, heavy = (corrupt(flat(100), "impulse-noise", s, seed=0) for s in (1, 5))
    assert torch.equal(mild[mild != 100], heavy[mild != 100])
