"""Digital corruptions against numpy's and Pillow's own results."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lure_core.corruptions import corrupt, digital, draws
from tests.lure_core.corruptions.pictures import create_pictures


@pytest.mark.parametrize(("side", "kept"), [(32, 0.15), (72, 0.05)])
def test_contrast_is_the_reference_formula(side: int, kept: float) -> None:
    images = create_pictures(2, side=side)
    x = images.permute(0, 2, 3, 1).numpy() / 255.0
    means = x.mean(axis=(1, 2), keepdims=True)
    reference = np.clip((x - means) * kept + means, 0, 1) * 255
    changed = corrupt(images, "contrast", 5, seed=0).permute(0, 2, 3, 1).numpy()
    assert np.abs(changed - reference).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("side", [8, 13, 32, 35, 72, 116])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixelate_is_pillows_box_filter(side: int, channels: int) -> None:
    images = create_pictures(1, side=side, channels=channels)
    shares = (0.95, 0.9, 0.85, 0.75, 0.65) if side <= 64 else (0.6, 0.5, 0.4, 0.3, 0.25)
    for severity, share in enumerate(shares, start=1):
        changed = corrupt(images, "pixelate", severity, seed=0)[0]
        for channel in range(channels):
            small = int(side * share)
            picture = Image.fromarray(images[0, channel].numpy())
            picture = picture.resize((small, small), Image.Resampling.BOX)
            reference = np.array(picture.resize((side, side), Image.Resampling.BOX))
            assert np.array_equal(changed[channel].numpy(), reference)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_pillow_stores(channels: int) -> None:
    images = create_pictures(1, side=24, channels=channels)
    pixels = images[0].permute(1, 2, 0).squeeze(2).contiguous().numpy()
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=40)
    reference = np.array(Image.open(stored)).reshape(24, 24, channels)
    changed = corrupt(images, "jpeg-compression", 5, seed=0)[0].permute(1, 2, 0)
    assert np.array_equal(changed.numpy(), reference)


def test_elastic_without_strength_changes_nothing() -> None:
    x = create_pictures(2, side=16) / 255
    by = draws.generators(0, "elastic-transform", range(2))
    assert torch.allclose(digital.elastic(x, (0, 0, 0), by), x, atol=1e-5)


def test_elastic_carries_its_three_points_to_where_they_are_moved() -> None:
    """On a ramp, which is read without loss between pixels."""
    side, shift, middle, off = 33, 0.05, 16, 11
    line = torch.arange(side, dtype=torch.float32)
    ramps = torch.stack([line.expand(side, side), line[:, None].expand(side, side)])[None]
    moved = digital.elastic(ramps, (0, 0, shift), draws.generators(4, "e", [0]))[0]
    moves = (2 * draws.uniform(draws.generators(4, "e", [0]), 3, 2)[0] - 1) * shift * side
    for move, (column, row) in zip(moves, [(1, 1), (1, -1), (-1, -1)], strict=True):
        before = torch.tensor([middle + column * off, middle + row * off]).float()
        across, down = (before + move).tolist()
        left, top = int(across), int(down)
        corner, a, b = moved[:, top : top + 2, left : left + 2], across - left, down - top
        rows = corner[:, 0] * (1 - b) + corner[:, 1] * b
        assert torch.allclose(rows[:, 0] * (1 - a) + rows[:, 1] * a, before, atol=1e-3)
