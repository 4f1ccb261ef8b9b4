"""The model and the images that every server of `serving.py` gets, and two ways to compute it.

The peers decode and compute as one would who writes a server for this one model: Pillow, a tensor,
the model in evaluation mode. "runner" is the graph that the service itself computes (BatchNorm
folded, channels last on a CPU): with it in the peers' hands, what is left is the server's doing.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from lure_core import models
from lure_core.config import InputSpec, Normalisation
from lure_core.precision import answering
from lure_core.runner import Runner, Shape

CLASSES = tuple("0123456789")
MEAN, STD = 0.5, 0.25
SEED = 1
GRAPHS = ("plain", "runner")
_GPU_GAINS = 8  # so many times larger batches are tried there


@dataclass(frozen=True)
class Case:
    """A model and the images it is asked about."""

    name: str
    architecture: str
    pixels: int  # height and width
    format: str  # of the encoded image
    sizes: tuple[int, ...]  # of batches that are tried on a CPU, in the raw loop and by LitServe

    @property
    def input(self) -> InputSpec:
        return InputSpec(channels=3, height=self.pixels, width=self.pixels)

    def batches(self, device: str) -> tuple[int, ...]:
        """Sizes to try there, the largest last."""
        return tuple(size * (_GPU_GAINS if device == "cuda" else 1) for size in self.sizes)

    def image(self) -> bytes:
        """One encoded image: smooth noise, so that it has the size of a photograph."""
        small = np.random.default_rng(0).integers(0, 256, (self.pixels // 8,) * 2 + (3,), np.uint8)
        size = (self.pixels, self.pixels)
        encoded = io.BytesIO()
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(encoded, self.format)
        return encoded.getvalue()


CASES = {
    case.name: case
    for case in (
        Case("small", "resnet20s", 32, "PNG", sizes=(6, 16, 32)),
        Case("large", "resnet18", 224, "JPEG", sizes=(6, 16)),
    )
}


class Model:
    """Decodes, and answers by one of the `GRAPHS`."""

    def __init__(self, case: Case, graph: str, device: str) -> None:
        built = models.build(case.architecture, classes=len(CLASSES), input=case.input, seed=SEED)
        made = {"plain": _plain, "runner": _runner}[graph]
        self._answer = made(built.eval(), case, torch.device(device))
        self._size = (case.pixels, case.pixels)

    def decode(self, encoded: bytes) -> npt.NDArray[np.uint8]:
        """Pixels [H, W, 3]."""
        image = Image.open(io.BytesIO(encoded)).convert("RGB")
        return np.asarray(image if image.size == self._size else image.resize(self._size))

    @torch.inference_mode()
    def predict(self, images: list[npt.NDArray[np.uint8]]) -> Tensor:
        """Probabilities [N, K], on the CPU."""
        return self._answer(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))


def _plain(model: nn.Module, _: Case, device: torch.device) -> Callable[[Tensor], Tensor]:
    model = model.to(device)

    def answer(pixels_NCHW: Tensor) -> Tensor:
        x_NCHW = (pixels_NCHW.to(device).float() / 255 - MEAN) / STD
        logits: Tensor = model(x_NCHW)
        return logits.softmax(dim=1).cpu()

    return answer


def _runner(model: nn.Module, case: Case, device: torch.device) -> Callable[[Tensor], Tensor]:
    precision = answering("fp32", device=device)
    shape = Shape(case.architecture, len(CLASSES), case.input, precision)
    normalisation = Normalisation(mean=(MEAN,) * 3, std=(STD,) * 3)
    runner = Runner(shape, model.state_dict())
    return lambda pixels_NCHW: runner.answer(pixels_NCHW, normalisation)


def told(probabilities: Tensor) -> dict[str, object]:
    """The answer for one image, as the peers give it."""
    best = probabilities.topk(5)
    labels = [CLASSES[index] for index in best.indices.tolist()]
    pairs = zip(labels, best.values.tolist(), strict=True)
    return {
        "label": labels[0],
        "top_k": [{"label": label, "probability": value} for label, value in pairs],
    }
