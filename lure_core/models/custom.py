"""Models of the user's own, named `package.module:factory`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from lure_core.config import InputSpec
from lure_core.errors import ConfigError, UnknownArchitecture

Factory = Callable[[InputSpec, int], nn.Module]
"""Takes the image shape and the number of classes. Gives a new model on the CPU that turns images
[N, C, H, W] into logits [N, classes]. All its chance comes from torch's global generator."""

_NAME = re.compile(r"[^\W\d_]\w*(\.[^\W\d_]\w*)*:[^\W\d_]\w*")
"""No part begins with an underscore: such are not meant for others, and `__main__` runs when it is
imported."""


def load(name: str, *, allowed: Collection[str] | None = None) -> Factory:
    """Import the factory.

    Args:
        name: `package.module:factory`.
        allowed: Whose code may run: a `package.module:factory` allows that one alone, a package or
            module all that can be reached in it, what it imports too; None: any.

    Raises:
        ConfigError: It may not be imported, cannot be imported, or is no function.
        UnknownArchitecture: The module has nothing of that name.
    """
    if not _NAME.fullmatch(name):
        words = "must read package.module:factory, no part of it beginning with _"
        raise ConfigError(f"architecture: {name!r} {words}")
    module_name, _, factory_name = name.partition(":")
    if allowed is not None and not _is_allowed(name, allowed):
        package = module_name.partition(".")[0]
        raise ConfigError(f"architecture: models of the package {package!r} are not allowed here")
    with _refused(f"cannot import {module_name}"):
        module = import_module(module_name)
        found = hasattr(module, factory_name)  # a module's own `__getattr__` may raise anything
        factory = getattr(module, factory_name) if found else None
        public = [n for n, value in vars(module).items() if callable(value) and n[0] != "_"]
    if not found:
        near = difflib.get_close_matches(factory_name, public, n=3, cutoff=0.4)
        raise UnknownArchitecture(name, [f"{module_name}:{n}" for n in near])
    if not callable(factory):
        raise ConfigError(f"architecture: {name} is no function (input, classes) -> nn.Module")
    return factory  # type: ignore[no-any-return]


def _is_allowed(name: str, allowed: Collection[str]) -> bool:
    module = f"{name.partition(':')[0]}."
    return name in allowed or any(module.startswith(f"{one}.") for one in allowed)


@contextmanager
def _refused(what: str, remedy: str = "") -> Iterator[None]:
    """Turn what a user's code raises into a `ConfigError`; `sys.exit` would end the process."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigError(f"architecture: {what}: {error!r}{remedy}") from error


def build(name: str, input: InputSpec, classes: int) -> nn.Module:
    """Call the factory of that name and try its model on two black images.

    Raises:
        ConfigError: It fails, or what it gives is no classifier of such images.
    """
    factory = load(name)
    with _refused(f"{name} fails", f"; wanted is {_wanted(classes)}"):
        model = factory(input, classes)
        if not isinstance(model, nn.Module):
            raise TypeError(f"it gives a {type(model).__name__}")
    try_out(name, model, input, classes)
    return model


@torch.no_grad()
def try_out(name: str, model: nn.Module, input: InputSpec, classes: int) -> None:
    """Make sure that the model answers two black images by logits; leaves it in training mode.

    Raises:
        ConfigError: It fails, or answers by something else.
    """
    wanted = _wanted(classes)
    with _refused(f"{name} fails", f"; wanted is {wanted}"):
        answer: Any = model.eval()(torch.zeros(2, input.channels, input.height, input.width))
        model.train()
    found = list(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
    if found != [2, classes]:
        raise ConfigError(f"architecture: {name} answers two images by {found}; wanted is {wanted}")


def _wanted(classes: int) -> str:
    return f"factory(input: InputSpec, classes: int) -> nn.Module, logits [N, {classes}]"
