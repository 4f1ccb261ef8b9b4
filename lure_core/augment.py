"""Random crops and flips of a whole batch at once, on the batch's device, each image its own.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def augment(images_NCHW: Tensor, *, how: str, generator: Generator) -> Tensor:
    """The batch anew, same shape and dtype.

    Args:
        images_NCHW: Raw pixels; what a crop lays bare is 0, black.
        how: "crop" shifts each image by up to an eighth of its side, at least a pixel;
            "crop-flip" mirrors half of them as well; "none" gives the batch back.
        generator: On the CPU; the draw is the same for every device.
    """
    if how == "none":
        return images_NCHW
    N, C, H, W = images_NCHW.shape
    pad_H, pad_W = max(1, H // 8), max(1, W // 8)
    top_N = torch.randint(0, 2 * pad_H + 1, (N, 1), generator=generator)
    left_N = torch.randint(0, 2 * pad_W + 1, (N, 1), generator=generator)
    rows_NH = top_N + torch.arange(H)
    columns_NW = left_N + torch.arange(W)
    if how == "crop-flip":
        mirrored_N = torch.rand(N, 1, generator=generator) < 0.5
        columns_NW = torch.where(mirrored_N, columns_NW.flip(1), columns_NW)
    padded_W = W + 2 * pad_W
    pixels_NHW = rows_NH[:, :, None] * padded_W + columns_NW[:, None, :]
    # One gather over flattened planes: an index over four dimensions is several times slower.
    padded = F.pad(images_NCHW, (pad_W, pad_W, pad_H, pad_H)).flatten(2)
    index = pixels_NHW.reshape(N, 1, H * W).to(images_NCHW.device, non_blocking=True)
    return padded.gather(2, index.expand(N, C, H * W)).view(N, C, H, W)
