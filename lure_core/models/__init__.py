"""The registry of architectures: a name and a seed give a fresh model, always the same one.

A name is one of `known()`, one of torchvision's classification models, or `package.module:factory`
for a model of the user's own. `docs/architectures.md` has the table.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

from torch import nn

from lure_core.config import InputSpec
from lure_core.errors import ConfigError, UnknownArchitecture
from lure_core.models import custom, resnet, vgg, zoo
from lure_core.models.custom import Factory
from lure_core.models.heads import grow_head, head, last_stage
from lure_core.models.mlp import mlp
from lure_core.rng import forked

__all__ = ["build", "grow_head", "head", "known", "last_stage", "require", "require_growth"]

_ANY_SIZE: dict[str, Factory] = {"mlp": mlp, **resnet.THIN}
_SMALL: dict[str, Factory] = {"resnet18": resnet.resnet18, **vgg.FACTORIES}
_RESIDUAL = [n for n in zoo.NAMES if n.startswith(("resnet", "resnext", "wide_resnet"))]


def known() -> list[str]:
    """The names that have a form for small images; all others of torchvision's will do as well."""
    return sorted({*_ANY_SIZE, *_SMALL, *_RESIDUAL})


def require(
    architecture: str, *, input: InputSpec | None = None, allowed: Collection[str] | None = None
) -> None:
    """Make sure that a model of that name can be built, without building it.

    Args:
        architecture: The name.
        input: Where given, the images that it must be able to take.
        allowed: The user's own models that may be had: each as `package.module:factory`, or all
            of a module or package; None: any. To look for one its module is imported, so whoever
            takes names from strangers must say.

    Raises:
        UnknownArchitecture: No model has that name; the error names the near ones.
        ConfigError: A model of the user's own may not or cannot be imported, or the model takes
            no such images.
    """
    if ":" in architecture:
        custom.load(architecture, allowed=allowed)
        return
    names = {*known(), *zoo.NAMES}
    if architecture not in names:
        near = difflib.get_close_matches(architecture.lower(), sorted(names), n=3, cutoff=0.4)
        raise UnknownArchitecture(architecture, near)
    if input is not None and _own(architecture, input) is None:
        zoo.require_sides(architecture, input)


def build(
    architecture: str,
    *,
    classes: int,
    input: InputSpec,
    seed: int,
    allowed: Collection[str] | None = None,
) -> nn.Module:
    """A freshly initialised model on the CPU, in training mode; the same for the same seed.

    Raises:
        UnknownArchitecture, ConfigError: As `require`; or a model of the user's own is no
            classifier of such images.
    """
    require(architecture, input=input, allowed=allowed)
    factory = _own(architecture, input)
    with forked(seed):
        if ":" in architecture:
            return custom.build(architecture, input, classes)
        return (
            zoo.build(architecture, input, classes) if factory is None else factory(input, classes)
        )


def require_growth(
    architecture: str,
    *,
    input: InputSpec,
    classes: int = 2,
    allowed: Collection[str] | None = None,
) -> None:
    """Make sure that the head of a model of that name can grow, from `classes` outputs to one more.

    The heads of all models but the user's own can. Such a one is built twice, grown and tried.

    Raises:
        UnknownArchitecture, ConfigError: As `build`; or its head cannot grow.
    """
    if ":" not in architecture:
        return
    model = build(architecture, classes=classes, input=input, seed=0, allowed=allowed)
    try:
        grow_head(model, build(architecture, classes=classes + 1, input=input, seed=0))
        custom.try_out(architecture, model, input, classes + 1)
    except ConfigError as error:
        words = "architecture: this model cannot have an open class list"
        raise ConfigError(f"{words}: {error}") from error


def _own(architecture: str, input: InputSpec) -> Factory | None:
    """Our factory for that name and size; None where torchvision's model is taken."""
    small = _SMALL if zoo.is_small(input) else {}
    return {**_ANY_SIZE, **small}.get(architecture)
