"""Strategies that take whole layers: renew the last ones, or bring each back to its first norm."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, nn
from torch.optim import Optimizer

from lure_core import models, snip
from lure_core.config import Unlearn
from lure_core.data import Batches
from lure_core.errors import ConfigError
from lure_core.types import UnlearnReport
from lure_core.unlearn.guard import unnormalised
from lure_core.unlearn.operation import Operation
from lure_core.unlearn.subset import draw


@dataclass(frozen=True)
class LaterLayers:
    """Renew the last stage and the head (later-layer forgetting, Zhou et al., arXiv 2202.00155).

    The stage's BatchNorm parameters are renewed too; all statistics are estimated anew.
    """

    settings: Unlearn

    def apply(
        self,
        model: nn.Module,
        fresh_model: nn.Module,
        data: Batches,
        generator: Generator,
        optimizer: Optimizer | None = None,
    ) -> UnlearnReport:
        stage = models.last_stage(model)
        if not stage:
            raise ConfigError(
                f"architecture: {type(model).__name__} has no stage before its head that "
                "later-layers could renew; choose last-layer"
            )
        operation = _renewed(model, fresh_model, optimizer, [*stage, *_head(model)])
        seen = operation.settle(draw(data, self.settings, generator))
        return operation.report("later-layers", subset_images=seen)


@dataclass(frozen=True)
class LastLayer:
    """Renew the classifier (RIFLE, Li et al., arXiv 2007.03349) and nothing else.

    Nothing before it changes, so that BatchNorm's statistics stay true and stay.
    """

    def apply(
        self,
        model: nn.Module,
        fresh_model: nn.Module,
        data: Batches,  # noqa: ARG002
        generator: Generator,  # noqa: ARG002
        optimizer: Optimizer | None = None,
    ) -> UnlearnReport:
        return _renewed(model, fresh_model, optimizer, _head(model)).report("last-layer")


@dataclass(frozen=True)
class Rescale:
    """Bring each layer's weight to the norm it has in the fresh model (after arXiv 2507.04683).

    Directions are kept. A bias follows its weight; behind the last normalisation it follows the
    product of all factors from there to its layer, so that a chain of layers computes a multiple
    of what it did. A weight whose norm is zero, here or in the fresh model, is left as it is.
    BatchNorm's parameters stay, its statistics are estimated anew.
    """

    settings: Unlearn

    def apply(
        self,
        model: nn.Module,
        fresh_model: nn.Module,
        data: Batches,
        generator: Generator,
        optimizer: Optimizer | None = None,
    ) -> UnlearnReport:
        operation = Operation.on_weights(model, fresh_model, optimizer)
        operation.names = snip.layer_names(model)
        factors = {name: _norm_ratio(operation, name) for name in snip.weights(model)}
        every, parameters = _with_biases(model, factors), operation.parameters
        for name, factor in every.items():
            if factor != 1:
                operation.write(name, parameters[name] * factor)
        seen = operation.settle(draw(data, self.settings, generator)) if operation.touched else 0
        return operation.report("rescale", subset_images=seen, details={"factors": factors})


def _head(model: nn.Module) -> list[str]:
    name, layer = models.head(model)
    return [f"{name}.{n}".removeprefix(".") for n, _ in layer.named_parameters()]


def _renewed(
    model: nn.Module, fresh_model: nn.Module, optimizer: Optimizer | None, names: list[str]
) -> Operation:
    """The fresh model's values in the parameters named; the report counts all that are trained."""
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    operation = Operation(model, fresh_model, optimizer, trained)
    for name in operation.names:
        if name in names:
            operation.renew(name)
    if not operation.touched:
        raise ConfigError(f"architecture: what {type(model).__name__} could renew is frozen")
    return operation


def _norm_ratio(operation: Operation, name: str) -> float:
    """The fresh model's norm of a weight over its own; 1 where one of them is zero."""
    weights = (model.get_parameter(name) for model in (operation.fresh_model, operation.model))
    fresh, own = (float(snip.wide(weight.detach()).norm()) for weight in weights)
    return fresh / own if fresh and own else 1.0


def _with_biases(model: nn.Module, factors: dict[str, float]) -> dict[str, float]:
    """The factor of every parameter of the layers: of the weights as given, of biases by them."""
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    chain = set(unnormalised(model))
    product, every = 1.0, dict(factors)
    for name, layer in snip.weights(model).items():
        product = product * factors[name] if name in chain else factors[name]
        for parameter in layer.parameters(recurse=False):
            bias = name_of.get(id(parameter))
            if bias is not None and parameter.requires_grad:
                every.setdefault(bias, product)
    return every
