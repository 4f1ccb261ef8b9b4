"""Blurs of lenses, frosted glass and moving cameras.

Legend: N images, C channels, H height, W width; images are float32 on a scale of 0…1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from lure_core.corruptions import draws, filters
from lure_core.corruptions.strengths import Strength

MOTION_DEGREES = 45.0


def defocus(x_NCHW: Tensor, strength: Strength, _: Sequence[Generator]) -> Tensor:
    """Every point a disk of this radius in pixels, its edge softened by this much."""
    radius, alias_blur = strength
    return filters.correlate(x_NCHW, filters.disk(radius, alias_blur), filters.mirror)


def motion(x_NCHW: Tensor, strength: Strength, by: Sequence[Generator]) -> Tensor:
    """A trail of this radius and deviation in pixels, at most 45° off the horizontal."""
    radius, sigma = strength
    degrees_N = (2 * draws.uniform(by) - 1) * MOTION_DEGREES
    return filters.motion_blur(x_NCHW, radius=int(radius), sigma=sigma, degrees_N=degrees_N)


def zoom(x_NCHW: Tensor, strength: Strength, _: Sequence[Generator]) -> Tensor:
    """The mean of the image and of enlargements by 1, 1 + step, 1 + 2 step, … (so many)."""
    count, step = int(strength[0]), strength[1]
    total = x_NCHW.clone()
    for index in range(count):
        total += filters.zoom(x_NCHW, 1 + index * step)
    return total / (count + 1)


def glass(x_NCHW: Tensor, strength: Strength, by: Sequence[Generator]) -> Tensor:
    """Blurred (deviation in pixels), pixels displaced (by up to so many, so often), blurred anew.

    The published code means to swap each pixel with a neighbour, but a swap of two numpy views
    copies the neighbour only; CIFAR-10-C is made so, and so is this.
    """
    sigma, reach, times = strength[0], int(strength[1]), int(strength[2])
    N, C, H, W = x_NCHW.shape
    planes = filters.gaussian_blur(x_NCHW, sigma).flatten(2)
    for _ in range(times):
        steps = (draws.uniform(by, 2, H, W) * (2 * reach)).long() - reach
        source = displaced(steps.to(x_NCHW.device), reach)
        planes = planes.gather(2, source[:, None].expand(N, C, H * W))
    return filters.gaussian_blur(planes.view(N, C, H, W), sigma)


def displaced(steps_N2HW: Tensor, reach: int) -> Tensor:
    """Which pixel each one shows at last, when one after another copies a neighbour.

    From the last row to the first and in a row from the last column to the first, each pixel that
    is `reach` from the edge copies what its neighbour shows at that moment: its own picture, or
    another's if it was visited before. Instead of walking, each pixel points at its neighbour,
    and all pointers are followed at once, twice as far each time.

    Args:
        steps_N2HW: Steps down and to the right, whole numbers of -reach…reach - 1.
        reach: In pixels.

    Returns:
        int64 [N, H * W]: indices into the flattened picture.
    """
    N, _, H, W = steps_N2HW.shape
    own = torch.arange(H * W, device=steps_N2HW.device).view(H, W)
    moving = torch.zeros_like(own, dtype=torch.bool)
    moving[reach + 1 : H - reach + 1, reach + 1 : W - reach + 1] = True
    neighbour = own + (steps_N2HW[:, 0] * W + steps_N2HW[:, 1]) * moving

    # Places 0…H*W - 1 stand for what a pixel shows after its visit, the rest for its own picture.
    visited_before = (neighbour > own) & moving.flatten()[neighbour]
    target = neighbour + ~visited_before * (H * W)
    shown = torch.where(moving, target, own + H * W).view(N, H * W)
    pointers = torch.cat([shown, (own + H * W).view(1, H * W).expand(N, H * W)], dim=1)
    for _ in range((H * W).bit_length()):
        pointers = pointers.gather(1, pointers)
    return pointers[:, : H * W] - H * W
