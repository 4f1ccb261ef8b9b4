"""The registry of architectures: a name and a seed give a fresh model, always the same one."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from torch import nn

from lure_core.config import InputSpec
from lure_core.errors import UnknownArchitecture
from lure_core.models import resnet
from lure_core.models.heads import grow_head, head, last_stage
from lure_core.models.mlp import mlp
from lure_core.rng import forked

__all__ = ["build", "grow_head", "head", "known", "last_stage", "require"]

_FACTORIES: dict[str, Callable[[InputSpec, int], nn.Module]] = {
    "mlp": mlp,
    "resnet18": resnet.resnet18,
    "resnet20s": resnet.resnet20s,
}


def known() -> list[str]:
    return sorted(_FACTORIES)


def require(architecture: str) -> None:
    """Raise `UnknownArchitecture`, naming the near ones, where no model has that name."""
    if architecture not in _FACTORIES:
        near = difflib.get_close_matches(architecture, known(), n=3, cutoff=0.4)
        raise UnknownArchitecture(architecture, near)


def build(architecture: str, *, classes: int, input: InputSpec, seed: int) -> nn.Module:
    """A freshly initialised model on the CPU, in training mode; the same for the same seed.

    Raises:
        UnknownArchitecture: No model of that name.
    """
    require(architecture)
    with forked(seed):
        return _FACTORIES[architecture](input, classes)
