"""What a model costs, counted from shapes; nothing is timed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lure_core.config import InputSpec
from lure_core.modes import moded


@torch.no_grad()
def forward_flops(model: nn.Module, input: InputSpec) -> int:
    """Floating-point operations of one image's forward pass, 2 per multiply-add.

    Convolutions and matrix products are counted, whatever module or function calls them; what is
    element by element is not, being a hundredth of it. A training step costs at most three times
    as much: forward, and backward twice over, but for the gradient of the images themselves, which
    nobody needs (`docs/architectures.md` has the difference). Counted on a plain model: what
    `torch.compile` has compiled is out of sight.
    """
    counter = FlopCounterMode(display=False)
    like = next(model.parameters())  # for its device and its number format
    x_NCHW = torch.zeros(1, input.channels, input.height, input.width).to(like)
    with moded(model, training=False), _attention_in_the_open(), counter:
        model(x_NCHW)
    return int(counter.get_total_flops())


@contextmanager
def _attention_in_the_open() -> Iterator[None]:
    """Attention as plain matrix products: of its fused kernels, the counter knows only some."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
