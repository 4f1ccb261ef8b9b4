"""Snow, frost, fog and bright sun.

Legend: N images, C channels, H height, W width; images are float32 on a scale of 0…1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from lure_core.corruptions import draws, filters
from lure_core.corruptions.strengths import Strength

SNOW_DEGREES = (-135.0, -45.0)
ICE = (0.82, 0.93, 1.0)
"""The colour of ice in red, green and blue."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture (ITU-R BT.601)."""


def brightness(x_NCHW: Tensor, strength: Strength, _: Sequence[Generator]) -> Tensor:
    """Raises V of hue, saturation and value by this much; hue and saturation stay."""
    (more,) = strength
    value_N1HW = x_NCHW.amax(dim=1, keepdim=True)
    brighter_N1HW = (value_N1HW + more).clamp(max=1)
    # With hue and saturation kept, all channels grow by one factor; black has none and turns grey.
    scaled = x_NCHW * (brighter_N1HW / value_N1HW.clamp_min(1e-6))
    return scaled.where(value_N1HW > 0, brighter_N1HW)


def snow(x_NCHW: Tensor, strength: Strength, by: Sequence[Generator]) -> Tensor:
    """Flakes that fall in streaks over a picture drained of colour.

    Strength: mean and deviation of the flakes' noise, its enlargement, the brightness from which
    it is a flake, radius and deviation of the streaks in pixels, the share of colour kept.
    """
    mean, deviation, size, least, radius, sigma, kept = strength
    low, high = SNOW_DEGREES
    noise = mean + deviation * draws.normal(by, 1, *x_NCHW.shape[2:])
    degrees_N = low + (high - low) * draws.uniform(by)
    flakes = filters.zoom(noise.to(x_NCHW.device), size)
    flakes = flakes.where(flakes >= least, 0).clamp(0, 1)
    flakes = filters.motion_blur(flakes, radius=int(radius), sigma=sigma, degrees_N=degrees_N)
    pale = kept * x_NCHW + (1 - kept) * torch.maximum(x_NCHW, _grey(x_NCHW) * 1.5 + 0.5)
    return pale + flakes + flakes.flip(2, 3)


def frost(x_NCHW: Tensor, strength: Strength, by: Sequence[Generator]) -> Tensor:
    """A pane with ice crystals: this share of the picture and that of the ice.

    The published code lays crops of six photographs over the picture. They are not ours to ship;
    these crystals are made, and figures do not compare to the published ones for this family.
    """
    seen, iced = strength
    _, C, H, W = x_NCHW.shape
    ice = crystals(by, H, W).to(x_NCHW.device)
    tint = torch.tensor(ICE if C == 3 else (1.0,), device=x_NCHW.device).view(1, C, 1, 1)
    return seen * x_NCHW + iced * ice * tint


def crystals(by: Sequence[Generator], H: int, W: int) -> Tensor:
    """Brightness of procedural ice, 0…1, float32 [N, 1, H, W], on the CPU.

    Bent needles in three directions 60° apart, as ice grows, thick here and thin there, over a
    pane that is whiter here than there; about 0.5 in the mean.
    """
    bend = 0.4 * (_octaves(by, H, W, cells=(3, 6, 12), layers=2) - 0.5)
    down = torch.linspace(-0.5, 0.5, H)[:, None] + bend[:, 0]
    across = torch.linspace(-0.5, 0.5, W) + bend[:, 1]
    first_N11 = draws.uniform(by, 1, 1) * math.pi
    ice = torch.zeros(len(by), 1, H, W)
    for step in range(3):
        angle = first_N11 + step * math.pi / 3
        along = across * angle.cos() + down * angle.sin()
        beside = down * angle.cos() - across * angle.sin()
        needles = _needles(draws.uniform(by, 1, 48, 8), along, beside)
        thickness = 1.3 * _octaves(by, H, W, cells=(3, 6)) - 0.1
        ice = torch.maximum(ice, needles * thickness)
    grain = _ridges(_octaves(by, H, W, cells=(16, 32, 64)))
    white = _octaves(by, H, W, cells=(2, 4)) - 0.5
    return (0.75 * ice + 0.35 * grain**3 + 0.5 * white).clamp(0, 1)


def _needles(noise_N1hw: Tensor, along_NHW: Tensor, beside_NHW: Tensor) -> Tensor:
    """Bright lines where noise that is stretched along one direction passes its mean."""
    grid = 1.3 * torch.stack([along_NHW, beside_NHW], dim=-1)
    stretched = F.grid_sample(noise_N1hw, grid, padding_mode="reflection", align_corners=True)
    return _ridges(stretched) ** 2


def _ridges(noise: Tensor) -> Tensor:
    return 1 - (2 * noise - 1).abs()


def _octaves(
    by: Sequence[Generator], H: int, W: int, *, cells: Sequence[int], layers: int = 1
) -> Tensor:
    """Smooth noise of several sizes, the finer the weaker, 0…1, [N, layers, H, W]."""
    total, weight, weights = torch.zeros(len(by), layers, H, W), 1.0, 0.0
    for count in cells:
        grid = draws.uniform(by, layers, count, count)
        total += weight * F.interpolate(grid, size=(H, W), mode="bilinear", align_corners=True)
        weights, weight = weights + weight, weight / 2
    return total / weights


def fog(x_NCHW: Tensor, strength: Strength, by: Sequence[Generator]) -> Tensor:
    """Plasma of this thickness, the smoother the larger the second figure."""
    thickness, decay = strength
    _, _, H, W = x_NCHW.shape
    side = 1 << (max(H, W) - 1).bit_length()
    noise = 2 * draws.uniform(by, side, side) - 1
    layer = plasma(noise.to(x_NCHW.device), decay)[:, None, :H, :W]
    brightest = x_NCHW.amax(dim=(1, 2, 3), keepdim=True)
    return (x_NCHW + thickness * layer) * (brightest / (brightest + thickness))


def plasma(noise_NSS: Tensor, decay: float) -> Tensor:
    """Height maps by the diamond-square algorithm on a torus, scaled to 0…1.

    Args:
        noise_NSS: A draw in -1…1 for every place, S a power of two; the corner's is not used.
        decay: By how much the noise shrinks, squared, with every halving of the step.
    """
    side = noise_NSS.shape[-1]
    heights, step, wobble = torch.zeros_like(noise_NSS), side, 100.0
    while step >= 2:
        half = step // 2
        squares = (slice(None), slice(half, None, step), slice(half, None, step))
        corners = heights[:, ::step, ::step]
        pairs = corners + corners.roll(-1, 1)
        heights[squares] = (pairs + pairs.roll(-1, 2)) / 4 + wobble**2 * noise_NSS[squares]

        centres = heights[squares]
        beside = (slice(None), slice(0, None, step), slice(half, None, step))
        around = centres + centres.roll(1, 1) + corners + corners.roll(-1, 2)
        heights[beside] = around / 4 + wobble**2 * noise_NSS[beside]
        below = (slice(None), slice(half, None, step), slice(0, None, step))
        around = centres + centres.roll(1, 2) + corners + corners.roll(-1, 1)
        heights[below] = around / 4 + wobble**2 * noise_NSS[below]
        step, wobble = half, wobble / decay
    heights -= heights.amin(dim=(1, 2), keepdim=True)
    return heights / heights.amax(dim=(1, 2), keepdim=True)


def _grey(x_NCHW: Tensor) -> Tensor:
    if x_NCHW.shape[1] == 1:
        return x_NCHW
    weights = torch.tensor(LUMA, device=x_NCHW.device).view(1, 3, 1, 1)
    return (x_NCHW * weights).sum(dim=1, keepdim=True)
