"""A model on its way: what training changes, and how it survives an interruption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lure_core.averaging import Average
from lure_core.config import Recipe

_FIGURES = (
    "epoch",
    "best_epoch",
    "best_correct",
    "seen",
    "estimated_on",
    "seconds",
    "compile_seconds",
)


@dataclass
class Learning:
    """All that an interruption must not lose.

    Attributes:
        seen: Training images that went forward and backward so far.
        estimated_on: Those that went forward only, for the averaged weights' BatchNorm statistics.
        average: Of the weights, from the first step on; None without `recipe.ema`.
        losses: float32 [N], each image's last loss; None without `recipe.pruning`.
        compile_seconds: How much of `seconds` went into `torch.compile`.
    """

    model: nn.Module
    optimizer: torch.optim.SGD
    epoch: int = 0
    best_epoch: int = 0
    best_correct: int = -1
    best: dict[str, Tensor] = field(default_factory=dict)
    seen: int = 0
    estimated_on: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    average: Average | None = None
    losses: Tensor | None = None

    @classmethod
    def of(cls, model: nn.Module, recipe: Recipe) -> Learning:
        """With a fresh optimiser."""
        parameters = [p for p in model.parameters() if p.requires_grad]
        fused = parameters[0].device.type in ("cpu", "cuda")
        optimizer = torch.optim.SGD(
            parameters,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=fused,
        )
        return cls(model, optimizer)

    @property
    def candidate(self) -> nn.Module:
        """What could become the version: the averaged model, where there is one."""
        return self.model if self.average is None else self.average.model

    def keep(self, correct: int) -> None:
        """Keep these weights if none were better; of equals the later, being annealed further."""
        if correct >= self.best_correct:
            self.best_correct, self.best_epoch = correct, self.epoch
            self.best = {n: value.clone() for n, value in self.candidate.state_dict().items()}

    def dump(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All of it, as named tensors and figures; the best weights only where they differ."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        figures = {name: getattr(self, name) for name in _FIGURES}
        if self.best_epoch != self.epoch:
            tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for name, parameter in self.model.named_parameters():
            momentum = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{name}"] = momentum
        if self.average is not None:
            averaged = self.average.model.state_dict()
            tensors |= {f"average.{name}": value for name, value in averaged.items()}
            figures["averaged_steps"] = self.average.steps
        if self.losses is not None:
            tensors["losses"] = self.losses
        return tensors, figures

    def load(self, tensors: Mapping[str, Tensor], figures: Mapping[str, Any]) -> None:
        """Undo `dump`, keeping the memory layout of this model's own tensors."""
        for name in _FIGURES:
            setattr(self, name, figures[name])
        self.model.load_state_dict(_under("model.", tensors))
        if averaged := _under("average.", tensors):
            self.average = Average.of(self.model)
            self.average.load(averaged, steps=figures["averaged_steps"])
        own = self.candidate.state_dict()
        best = _under("best.", tensors) or own
        self.best = {name: own[name].clone().copy_(value) for name, value in best.items()}
        for name, value in _under("momentum.", tensors).items():
            parameter = self.model.get_parameter(name)
            momentum = torch.empty_like(parameter, requires_grad=False).copy_(value)
            self.optimizer.state[parameter]["momentum_buffer"] = momentum
        if "losses" in tensors:
            self.losses = tensors["losses"].to(next(self.model.parameters()).device)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
