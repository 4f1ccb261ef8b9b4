"""Models of the user's own, named `package.module:factory`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from lure_core.config import InputSpec
from lure_core.errors import ConfigError, UnknownArchitecture

Factory = Callable[[InputSpec, int], nn.Module]
"""Takes the image shape and the number of classes. Gives a new model on the CPU that turns images
[N, C, H, W] into logits [N, classes]. All its chance comes from torch's global generator."""

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def load(name: str, *, allowed: Collection[str] | None = None) -> Factory:
    """Import the factory.

    Args:
        name: `package.module:factory`.
        allowed: The packages and modules whose code may run, with all that lies in them; None: any.

    Raises:
        ConfigError: It may not be imported, cannot be imported, or is no function.
        UnknownArchitecture: The module has nothing of that name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"architecture: {name!r} must read package.module:factory")
    module_name, _, factory_name = name.partition(":")
    if allowed is not None and not any(f"{module_name}.".startswith(f"{p}.") for p in allowed):
        package = module_name.partition(".")[0]
        raise ConfigError(f"architecture: models of the package {package!r} are not allowed here")
    try:
        module = import_module(module_name)
    except Exception as error:
        raise ConfigError(f"architecture: cannot import {module_name}: {error!r}") from error
    if not hasattr(module, factory_name):
        public = [n for n, value in vars(module).items() if callable(value) and n[0] != "_"]
        near = difflib.get_close_matches(factory_name, public, n=3, cutoff=0.4)
        raise UnknownArchitecture(name, [f"{module_name}:{n}" for n in near])
    factory = getattr(module, factory_name)
    if not callable(factory):
        raise ConfigError(f"architecture: {name} is no function (input, classes) -> nn.Module")
    return factory  # type: ignore[no-any-return]


def build(name: str, input: InputSpec, classes: int) -> nn.Module:
    """Call the factory of that name and try its model on two black images.

    Raises:
        ConfigError: It fails, or what it gives is no classifier of such images.
    """
    factory = load(name)
    wanted = f"factory(input: InputSpec, classes: int) -> nn.Module, logits [N, {classes}]"
    try:
        model = factory(input, classes)
        answer = _try(model, input)
    except Exception as error:
        raise ConfigError(f"architecture: {name} fails: {error!r}; wanted is {wanted}") from error
    found = list(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
    if found != [2, classes]:
        raise ConfigError(f"architecture: {name} answers two images by {found}; wanted is {wanted}")
    return model


@torch.no_grad()
def _try(model: nn.Module, input: InputSpec) -> Any:
    if not isinstance(model, nn.Module):
        raise TypeError(f"it gives a {type(model).__name__}")
    answer = model.eval()(torch.zeros(2, input.channels, input.height, input.width))
    model.train()
    return answer
