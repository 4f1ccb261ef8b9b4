"""What displays, lenses' distortion and compression do to a picture.

Legend: N images, C channels, H height, W width; images are float32 on a scale of 0…1.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from lure_core.corruptions import draws, filters
from lure_core.corruptions.strengths import Strength


def contrast(x_NCHW: Tensor, strength: Strength, _: Sequence[Generator]) -> Tensor:
    """Leaves this share of the difference to each channel's mean."""
    (kept,) = strength
    # Whole numbers: their sum is the same in any order, and so for any batch.
    levels = (x_NCHW * 255).round().long()
    pixels = x_NCHW.shape[2] * x_NCHW.shape[3]
    mean_NC11 = levels.sum(dim=(2, 3), keepdim=True).to(x_NCHW) / (255 * pixels)
    return (x_NCHW - mean_NC11) * kept + mean_NC11


def pixelate(x_NCHW: Tensor, strength: Strength, _: Sequence[Generator]) -> Tensor:
    """Scaled to this share of the side and back, as Pillow's box filter does."""
    (share,) = strength
    H, W = x_NCHW.shape[2:]
    levels = (x_NCHW * 255).round()
    small = _box(_box(levels, int(W * share), dim=3), int(H * share), dim=2)
    return _box(_box(small, W, dim=3), H, dim=2) / 255


def _box(levels_NCHW: Tensor, size: int, *, dim: int) -> Tensor:
    """One side scaled to `size`: the mean of the pixels whose centres lie in each new pixel.

    Sums of whole numbers, exact in any order; rounded half up.
    """
    length = levels_NCHW.shape[dim]
    scale = length / size
    wide = max(scale, 1.0)
    centre = (torch.arange(size, dtype=torch.float64)[:, None] + 0.5) * scale
    pixels = torch.arange(length)
    off = (pixels - centre + 0.5) * (1 / wide)
    # Both bounds, as Pillow has them: where a centre lies on a border, rounding decides.
    first, end = (centre - wide / 2 + 0.5).floor(), (centre + wide / 2 + 0.5).floor()
    window = (pixels >= first) & (pixels < end) & (off > -0.5) & (off <= 0.5)
    inside = window.to(levels_NCHW)
    lines = levels_NCHW.movedim(dim, -1)
    mean = (lines @ inside.T) / inside.sum(dim=1)
    return (mean + 0.5).floor().movedim(-1, dim)


def jpeg(x_NCHW: Tensor, strength: Strength, _: Sequence[Generator]) -> Tensor:
    """Stored as JPEG of this quality and read again, image by image on the CPU."""
    (quality,) = strength
    levels = (x_NCHW * 255).round().to(torch.uint8).cpu()
    pictures = [_compressed(image, int(quality)) for image in levels]
    return torch.stack(pictures).to(x_NCHW.device).float() / 255


def _compressed(image_CHW: Tensor, quality: int) -> Tensor:
    grey = image_CHW.shape[0] == 1
    pixels = image_CHW[0] if grey else image_CHW.permute(1, 2, 0)
    stored = io.BytesIO()
    Image.fromarray(pixels.contiguous().numpy()).save(stored, "JPEG", quality=quality)
    read = torch.from_numpy(np.array(Image.open(stored)))
    return read[None] if grey else read.permute(2, 0, 1)


def elastic(x_NCHW: Tensor, strength: Strength, by: Sequence[Generator]) -> Tensor:
    """A random affine map, then a random smooth displacement.

    Strength, as shares of the shorter side: how far the pixels are displaced, the deviation of
    the blur that smooths the displacements, how far the map's three points move.
    """
    _, _, H, W = x_NCHW.shape
    force, sigma, shift = (share * min(H, W) for share in strength)
    corners = (2 * draws.uniform(by, 3, 2) - 1) * shift
    field = 2 * draws.uniform(by, 2, H, W) - 1
    # Image by image on the CPU: a product's last bits may depend on how many it is one of.
    down, right = filters.smoothing(H, sigma), filters.smoothing(W, sigma)
    smooth = force * torch.stack([down @ each @ right.T for each in field])
    warped = filters.sample(x_NCHW, *_affine(corners, H, W))
    rows = torch.arange(H)[:, None] + smooth[:, 0]
    columns = torch.arange(W) + smooth[:, 1]
    return filters.sample(warped, rows, columns)


def _affine(moves_N32: Tensor, H: int, W: int) -> tuple[Tensor, Tensor]:
    """Rows and columns [N, H, W] to read, so that three points come to lie where they are moved.

    The points, as (column, row), lie a third of the shorter side off the centre.
    """
    column, row, off = W // 2, H // 2, min(H, W) // 3
    points = [[column + off, row + off], [column + off, row - off], [column - off, row - off]]
    before_32 = torch.tensor(points, dtype=torch.float64)
    after_N32 = before_32 + moves_N32
    after_N33 = torch.cat([after_N32, torch.ones_like(after_N32[..., :1])], dim=2)
    back_N32 = torch.linalg.solve(after_N33, before_32.expand_as(after_N32))
    by_column, by_row, constant = back_N32[..., None, None].unbind(dim=1)
    columns_W, rows_H1 = torch.arange(W), torch.arange(H)[:, None]
    read_N2HW = columns_W * by_column + rows_H1 * by_row + constant
    return read_N2HW[:, 1], read_N2HW[:, 0]
