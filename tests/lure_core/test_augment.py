"""Augmentation of a batch is what each image would get alone: a shift and perhaps a mirror."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lure_core.augment import augment
from lure_core.rng import generator


def shifted_views(image_CHW: Tensor, *, flip: bool) -> list[Tensor]:
    """Every crop that may come of one image."""
    _, H, W = image_CHW.shape
    pad_H, pad_W = max(1, H // 8), max(1, W // 8)
    sources = [image_CHW, image_CHW.flip(2)] if flip else [image_CHW]
    return [
        padded[:, top : top + H, left : left + W]
        for padded in (F.pad(s, (pad_W, pad_W, pad_H, pad_H)) for s in sources)
        for top in range(2 * pad_H + 1)
        for left in range(2 * pad_W + 1)
    ]


@settings(derandomize=True, deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000),
    channels=st.sampled_from([1, 3]),
    height=st.integers(8, 17),
    width=st.integers(8, 17),
    flip=st.booleans(),
)
def test_each_image_is_one_of_its_own_views(
    seed: int, channels: int, height: int, width: int, flip: bool
) -> None:
    draws = generator(seed)
    images = torch.randint(1, 256, (5, channels, height, width), generator=draws).to(torch.uint8)
    found = augment(images, how="crop-flip" if flip else "crop", generator=draws)
    assert found.dtype == torch.uint8
    for image, view in zip(images, found, strict=True):
        assert any(torch.equal(view, v) for v in shifted_views(image, flip=flip))


def test_none_gives_the_batch_back() -> None:
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    assert augment(images, how="none", generator=generator(0)) is images


@pytest.mark.parametrize("how", ["crop", "crop-flip"])
def test_the_draw_is_seeded_and_differs_from_image_to_image(how: str) -> None:
    one = torch.randint(0, 256, (1, 3, 32, 32), generator=generator(1)).to(torch.uint8)
    images = one.expand(64, -1, -1, -1)
    found = augment(images, how=how, generator=generator(2))
    assert torch.equal(found, augment(images, how=how, generator=generator(2)))
    assert len({view.numpy().tobytes() for view in found}) > 20
