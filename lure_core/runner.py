"""A model as it is served: one module, into which the weights of one version after another go.

Legend: N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lure_core import models
from lure_core.config import InputSpec, Normalisation
from lure_core.data import normalise
from lure_core.folding import Breath, fold, go_on
from lure_core.models.blank import Blank
from lure_core.models.cost import forward_flops
from lure_core.precision import Precision
from lure_core.rng import generator


@dataclass(frozen=True)
class Shape:
    """What two versions must have in common to take turns in one module."""

    architecture: str
    classes: int
    input: InputSpec
    precision: Precision


class Runner:
    """A module on its device, BatchNorms folded, arranged as its precision says.

    Several threads may ask it at once. While weights are loaded nobody may: they are replaced one
    by one.

    Args:
        shape: What it is built for.
        weights: A version's, with the names that `models.build` gives them.

    Attributes:
        flops: Of one image's answer.

    Raises:
        UnknownArchitecture, ConfigError: There is no such model.
        RuntimeError: The weights are not of that shape.
    """

    def __init__(self, shape: Shape, weights: Mapping[str, Tensor]) -> None:
        self.shape = shape
        precision = shape.precision
        model = _built(shape)
        model.load_state_dict(weights, strict=True)
        self.flops = forward_flops(model, shape.input)
        self._folded = fold(model.eval(), _some_images(shape.input))
        self._dtype = torch.bfloat16 if precision.bf16 else torch.float32
        self._module = precision.place(self._folded.module).to(dtype=self._dtype)
        self._stream = _urgent(precision.device)

    @property
    def size_bytes(self) -> int:
        """Of the weights, where they lie."""
        return sum(t.nbytes for t in (*self._module.parameters(), *self._module.buffers()))

    @property
    def folded(self) -> int:
        """How many BatchNorms are folded into convolutions."""
        return len(self._folded.pairs)

    def load(self, weights: Mapping[str, Tensor], breathe: Breath = go_on) -> None:
        """Replace the weights, all of them; `breathe` is called between two.

        Raises:
            RuntimeError: They are not of this shape. Then some may be replaced, and
                nobody should be answered by this runner.
        """
        self._folded.load(weights, breathe)

    def answer(self, images_u8: Tensor, normalisation: Normalisation) -> Tensor:
        """Probabilities float32 [N, K], on the CPU, of images [N, C, H, W]."""
        precision = self.shape.precision
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            images = precision.arrange(images_u8.to(precision.device))
            x_NCHW = normalise(images, normalisation).to(self._dtype)
            logits: Tensor = self._module(x_NCHW)
            return logits.float().softmax(dim=1).cpu()


def _built(shape: Shape) -> nn.Module:
    own = ":" in shape.architecture  # what a user's code makes of zeros nobody knows
    with nullcontext() if own else Blank():
        return models.build(shape.architecture, classes=shape.classes, input=shape.input, seed=0)


def _some_images(spec: InputSpec) -> Tensor:
    return torch.randn(2, spec.channels, spec.height, spec.width, generator=generator(0))


def _urgent(device: torch.device) -> torch.cuda.Stream | None:
    """A stream that goes before the others of this process, a training's in the same one say."""
    if device.type != "cuda":
        return None
    return torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
