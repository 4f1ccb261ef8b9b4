"""One training in several processes, one a GPU or a share of the CPU's cores each.

Every process draws the same batch and the same augmentation and works on its own part of it; the
gradients are summed, BatchNorm takes its statistics over the whole batch. So the result is that of
one process but for the order in which numbers are added. Start it with `torchrun`.

Legend: N images, C channels.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lure_core.errors import PeerLost
from lure_core.rng import derive_seed


@dataclass(frozen=True)
class World:
    """This process among those that train together; alone, everything here does nothing.

    Attributes:
        rank: This process's number, from 0. Rank 0 reports.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    def part(self, count: int) -> slice:
        """This process's share of `count` things; sizes differ by one at most, and may be 0."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def own(self, seed: int) -> int:
        """A seed of this process's own; rank 0 has the seed itself."""
        return derive_seed(seed, self.rank, "rank") if self.rank else seed

    def add(self, *tensors: Tensor) -> None:
        """Sum tensors of one dtype over all processes, in place, in one exchange.

        Raises:
            PeerLost: Another process is gone.
        """
        if self.size == 1 or not tensors:
            return
        flat = _within_reach(torch.cat([tensor.flatten() for tensor in tensors]))
        with _telling_loss():
            dist.all_reduce(flat)
        pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, piece in zip(tensors, pieces, strict=True):
            tensor.copy_(piece.view(tensor.shape))

    def agree(self, tensors: Iterable[Tensor]) -> None:
        """Give every process rank 0's values, in place.

        Raises:
            PeerLost: Another process is gone.
        """
        for tensor in tensors if self.size > 1 else ():
            whole = _within_reach(tensor.detach().contiguous())
            with _telling_loss():
                dist.broadcast(whole, src=0)
            tensor.detach().copy_(whole)


PATIENCE_S = 600.0
"""How long a process waits for another, unless it is told otherwise."""

ALONE = World()
"""A process that shares its work with no other."""


def start(device: str = "auto", timeout_s: float = PATIENCE_S) -> World:
    """Join the processes that `torchrun` started beside this one; alone without it.

    On GPUs where each process of this machine has its own, which becomes its current device; on
    the CPU otherwise.

    Args:
        device: Where they will train, as `CycleConfig.device` says it.
        timeout_s: How long an exchange waits for another process, which may have stopped without
            being gone. That one of them does something alone must not take as long.

    Raises:
        PeerLost: They do not all come.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        local, of = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
        on_gpus = device in ("auto", "cuda") and torch.cuda.device_count() >= of
        if on_gpus:
            torch.cuda.set_device(local)
        with _telling_loss():
            dist.init_process_group(
                "nccl" if on_gpus else "gloo", timeout=dt.timedelta(seconds=timeout_s)
            )
    return world()


def stop() -> None:
    """Leave the others; nothing where there are none."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def world() -> World:
    """The processes joined by `start`; a process alone where it was not called."""
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    return World()


def environment() -> dict[str, Any]:
    """How many processes train together, and by what they exchange; None for one alone."""
    size = world().size
    return {"ranks": size, "backend": dist.get_backend() if size > 1 else None}


@contextmanager
def synchronised(model: nn.Module, among: World) -> Iterator[None]:
    """Inside, BatchNorm in training mode takes its statistics over all processes' images.

    The modules stay what they are: their call is put aside, so that names, types and the
    optimiser's parameters do not change.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)] if among.size > 1 else []
    for layer in layers:
        layer.forward = partial(_normalised, layer, among)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _within_reach(tensor: Tensor) -> Tensor:
    """Where it can be exchanged: NCCL takes from GPUs alone."""
    return tensor.cuda() if dist.get_backend() == "nccl" else tensor


@contextmanager
def _telling_loss() -> Iterator[None]:
    """Tell an exchange that fails from all else that does."""
    try:
        yield
    except torch.OutOfMemoryError:  # this process's own fault
        raise
    except RuntimeError as error:
        raise PeerLost(f"the other processes cannot be reached: {error}") from error


def _normalised(layer: _BatchNorm, among: World, x: Tensor) -> Tensor:
    """What `layer(x)` gives if x is this process's part of a batch."""
    if not layer.training:
        alone: Tensor = type(layer).forward(layer, x)
        return alone
    mean_C, variance_C, count = _moments(x.detach().float(), among)
    _remember(layer, mean_C, variance_C, count)
    y: Tensor = _Normalise.apply(x.float(), mean_C, (variance_C + layer.eps).rsqrt(), count, among)
    if layer.affine:
        y = y * _over_channels(layer.weight, y) + _over_channels(layer.bias, y)
    return y.to(x.dtype)


def _moments(x: Tensor, among: World) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of each channel over all processes, float32 [C], and the count.

    Exchanged as sums in double precision: there, the difference of squares loses nothing.
    """
    others = _all_but_channels(x)
    count = x.new_full((1,), x.numel() // x.shape[1], dtype=torch.float64)
    if x.numel():
        variance, mean = torch.var_mean(x, dim=others, correction=0)
        mean, variance = mean.double(), variance.double()
    else:  # a process without an image
        mean = variance = x.new_zeros(x.shape[1], dtype=torch.float64)
    total, squares = mean * count, (variance + mean.square()) * count
    among.add(total, squares, count)
    mean = total / count
    variance = squares / count - mean.square()
    return mean.float(), variance.clamp_(min=0).float(), count


@torch.no_grad()
def _remember(layer: _BatchNorm, mean_C: Tensor, variance_C: Tensor, count: Tensor) -> None:
    """Update the running statistics as `nn.BatchNorm2d` does."""
    if layer.running_mean is None or layer.running_var is None:
        return
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked += 1
    unbiased_C = variance_C * (count / (count - 1)).float()
    share = layer.momentum
    if share is None:  # torch's word for a plain average
        share = 1 / float(layer.num_batches_tracked)
    layer.running_mean.lerp_(mean_C, share)
    layer.running_var.lerp_(unbiased_C, share)


class _Normalise(torch.autograd.Function):
    """(x - mean) / deviation, whose gradient knows that both came from all processes' images."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mean_C: Tensor, rescale_C: Tensor, count: Tensor, among: World
    ) -> Tensor:
        y = (x - _over_channels(mean_C, x)) * _over_channels(rescale_C, x)
        ctx.save_for_backward(y, rescale_C, count)
        ctx.among = among
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, rescale_C, count = ctx.saved_tensors
        others = _all_but_channels(y)
        total_C = grad.sum(others, dtype=torch.float64)
        along_C = (grad * y).sum(others, dtype=torch.float64)
        ctx.among.add(total_C, along_C)
        mean_C, along_C = (total_C / count).float(), (along_C / count).float()
        centred = grad - _over_channels(mean_C, y) - y * _over_channels(along_C, y)
        return centred * _over_channels(rescale_C, y), None, None, None, None


def _all_but_channels(x: Tensor) -> list[int]:
    return [dim for dim in range(x.dim()) if dim != 1]


def _over_channels(values_C: Tensor, like: Tensor) -> Tensor:
    return values_C.view(1, -1, *[1] * (like.dim() - 2))
