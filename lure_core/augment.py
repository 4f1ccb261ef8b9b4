"""Random crops and flips of a whole batch at once, on the batch's device, each image its own.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True, eq=False)
class Moves:
    """Where each image of a batch is moved to; all on the CPU.

    Attributes:
        top: int64 [N], the crop's first row within the padded image.
        left: int64 [N], its first column.
        mirrored: bool [N]; None where none is mirrored.
    """

    top: Tensor
    left: Tensor
    mirrored: Tensor | None

    def part(self, at: slice) -> Moves:
        """Those of some of the images."""
        mirrored = None if self.mirrored is None else self.mirrored[at]
        return Moves(self.top[at], self.left[at], mirrored)


def augment(images_NCHW: Tensor, *, how: str, generator: Generator) -> Tensor:
    """The batch anew, same shape and dtype.

    Args:
        images_NCHW: Raw pixels; what a crop lays bare is 0, black.
        how: "crop" shifts each image by up to an eighth of its side, at least a pixel;
            "crop-flip" mirrors half of them as well; "none" gives the batch back.
        generator: On the CPU; the draw is the same for every device.
    """
    moves = draw(images_NCHW.shape, how=how, generator=generator)
    return images_NCHW if moves is None else move(images_NCHW, moves)


def draw(shape_NCHW: tuple[int, ...], *, how: str, generator: Generator) -> Moves | None:
    """What `augment` does to a batch of this shape; None for "none"."""
    if how == "none":
        return None
    N, _, H, W = shape_NCHW
    pad_H, pad_W = _padding(H, W)
    top_N = torch.randint(0, 2 * pad_H + 1, (N,), generator=generator)
    left_N = torch.randint(0, 2 * pad_W + 1, (N,), generator=generator)
    mirrored_N = torch.rand(N, generator=generator) < 0.5 if how == "crop-flip" else None
    return Moves(top_N, left_N, mirrored_N)


def move(images_NCHW: Tensor, moves: Moves) -> Tensor:
    """Crop and mirror as drawn; the pixels' places are worked out on the images' device."""
    N, C, H, W = images_NCHW.shape
    device = images_NCHW.device
    pad_H, pad_W = _padding(H, W)
    rows_NH = moves.top.to(device)[:, None] + torch.arange(H, device=device)
    columns_NW = moves.left.to(device)[:, None] + torch.arange(W, device=device)
    if moves.mirrored is not None:
        mirrored_N1 = moves.mirrored.to(device)[:, None]
        columns_NW = torch.where(mirrored_N1, columns_NW.flip(1), columns_NW)
    padded_W = W + 2 * pad_W
    index_NHW = rows_NH[:, :, None] * padded_W + columns_NW[:, None, :]
    # One gather over flattened planes: an index over four dimensions is several times slower.
    padded = F.pad(images_NCHW, (pad_W, pad_W, pad_H, pad_H)).flatten(2)
    index = index_NHW.reshape(N, 1, H * W).expand(N, C, H * W)
    return padded.gather(2, index).view(N, C, H, W)


def _padding(height: int, width: int) -> tuple[int, int]:
    return max(1, height // 8), max(1, width // 8)
