"""Blurs and resampling that the corruptions are made of.

Sums over a filter's taps run one tap after another in fixed order: an image comes out the same,
bit for bit, whatever the batch it is in, which a convolution does not promise.

Legend: N images, C channels, H height, W width; images are floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Border = Callable[[Tensor, int], Tensor]
"""Turns indices that may lie outside into indices 0…length - 1."""


NEGLIGIBLE = 1e-9
"""A tap of this weight or less changes no grey level."""


def nearest(index: Tensor, length: int) -> Tensor:
    """Repeats the outermost pixel: aaa|abcd|ddd."""
    return index.clamp(0, length - 1)


def mirror(index: Tensor, length: int) -> Tensor:
    """Reflects at the centre of the outermost pixel: dcb|abcd|cba."""
    period = max(1, 2 * (length - 1))
    folded = index.remainder(period)
    return torch.minimum(folded, period - folded)


def symmetric(index: Tensor, length: int) -> Tensor:
    """Reflects at the picture's edge: cba|abcd|dcb."""
    folded = index.remainder(2 * length)
    return torch.minimum(folded, 2 * length - 1 - folded)


def correlate(x_NCHW: Tensor, kernel_kk: Tensor, border: Border) -> Tensor:
    """Each channel filtered by the kernel, whose sides are odd."""
    H, W = x_NCHW.shape[2:]
    reach_H, reach_W = kernel_kk.shape[0] // 2, kernel_kk.shape[1] // 2
    rows = border(torch.arange(-reach_H, H + reach_H), H).to(x_NCHW.device)
    columns = border(torch.arange(-reach_W, W + reach_W), W).to(x_NCHW.device)
    padded = x_NCHW[:, :, rows][:, :, :, columns]
    result = torch.zeros_like(x_NCHW)
    for top, left in (kernel_kk > NEGLIGIBLE).nonzero().tolist():
        # Two steps: a fused multiply-add rounds otherwise, and not everywhere in a tensor.
        result += padded[:, :, top : top + H, left : left + W] * float(kernel_kk[top, left])
    return result


def gaussian_taps(sigma: float, reach: int) -> Tensor:
    """Weights at -reach…reach, float64, of sum 1."""
    distance = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-(distance**2) / (2 * sigma**2))
    return weights / weights.sum()


def gaussian_blur(x_NCHW: Tensor, sigma: float) -> Tensor:
    """As scikit-image has it: cut off at four sigma, outermost pixels repeated."""
    taps = gaussian_taps(sigma, int(4 * sigma + 0.5))
    return correlate(correlate(x_NCHW, taps[:, None], nearest), taps[None, :], nearest)


def disk(radius: float, alias_blur: float) -> Tensor:
    """A disk of sum 1, its edge softened by a narrow Gaussian of deviation `alias_blur`."""
    reach, soft = (8, 1) if radius <= 8 else (math.ceil(radius), 2)
    axis = torch.arange(-reach, reach + 1, dtype=torch.float64)
    inside = (axis[:, None] ** 2 + axis[None, :] ** 2 <= radius**2).double()
    taps = gaussian_taps(alias_blur, soft)
    plane = (inside / inside.sum())[None, None]
    softened = correlate(correlate(plane, taps[:, None], mirror), taps[None, :], mirror)[0, 0]
    return softened / softened.sum()  # where the disk touches the border, mirroring adds light


def motion_blur(x_NCHW: Tensor, *, radius: int, sigma: float, degrees_N: Tensor) -> Tensor:
    """A trail behind every pixel in each image's direction, as ImageMagick draws it.

    Half a Gaussian of deviation `sigma` over 2 * radius + 1 whole-pixel steps.
    """
    N, C, H, W = x_NCHW.shape
    steps = torch.arange(2 * radius + 1, dtype=torch.float64)
    weights = torch.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    radians_N = degrees_N.double().deg2rad()
    down_NK = (radians_N.sin()[:, None] * steps - 0.5).ceil().long()
    right_NK = (radians_N.cos()[:, None] * steps - 0.5).ceil().long()
    planes, result = x_NCHW.flatten(2), torch.zeros_like(x_NCHW)
    for weight, down_N, right_N in zip(weights.tolist(), down_NK.T, right_NK.T, strict=True):
        rows_NH = nearest(torch.arange(H) + down_N[:, None], H)
        columns_NW = nearest(torch.arange(W) + right_N[:, None], W)
        index = (rows_NH[:, :, None] * W + columns_NW[:, None, :]).view(N, 1, H * W)
        taken = planes.gather(2, index.to(x_NCHW.device).expand(N, C, H * W))
        result += taken.view(N, C, H, W) * weight
    return result


def sample(x_NCHW: Tensor, rows_NHW: Tensor, columns_NHW: Tensor) -> Tensor:
    """The images read at these places, in pixels, between four pixels each; mirrored outside."""
    _, _, H, W = x_NCHW.shape
    across = columns_NHW * (2 / (W - 1)) - 1
    down = rows_NHW * (2 / (H - 1)) - 1
    grid = torch.stack([across, down], dim=-1).to(x_NCHW)
    return F.grid_sample(x_NCHW, grid, padding_mode="reflection", align_corners=True)


def zoom(x_NCHW: Tensor, factor: float) -> Tensor:
    """Enlarged about the centre; same shape."""
    N, _, H, W = x_NCHW.shape
    rows = (torch.arange(H) - (H - 1) / 2) / factor + (H - 1) / 2
    columns = (torch.arange(W) - (W - 1) / 2) / factor + (W - 1) / 2
    return sample(x_NCHW, rows[:, None].expand(N, H, W), columns.expand(N, H, W))


def smoothing(length: int, sigma: float) -> Tensor:
    """The matrix [length, length] that blurs a line of so many pixels; the identity at sigma 0.

    A Gaussian cut off at three sigma, reflected at the edges; any width, even beyond the line.
    """
    if sigma == 0:
        return torch.eye(length)
    reach = int(3 * sigma + 0.5)
    taps = gaussian_taps(sigma, reach)
    line = torch.arange(length)[:, None]
    source = symmetric(line + torch.arange(-reach, reach + 1), length)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.index_put_((line, source), taps.expand_as(source), accumulate=True).float()
