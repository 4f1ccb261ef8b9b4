"""The model and the images that every server of `serving.py` gets, and the plain way to use them.

The peers decode and compute as one would who writes a server for this one model: Pillow, a tensor,
the model in evaluation mode. The service itself makes the same answers from its own version of it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from lure_core import models
from lure_core.config import InputSpec

CLASSES = tuple("0123456789")
MEAN, STD = 0.5, 0.25
SEED = 1


@dataclass(frozen=True)
class Case:
    """A model and the images it is asked about."""

    name: str
    architecture: str
    pixels: int  # height and width
    format: str  # of the encoded image
    batch: int  # images computed together by the peers and in the raw loop: the best of a few

    @property
    def input(self) -> InputSpec:
        return InputSpec(channels=3, height=self.pixels, width=self.pixels)

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
        Case("small", "resnet20s", 32, "PNG", batch=32),
        Case("large", "resnet18", 224, "JPEG", batch=16),
    )
}


class Model:
    """Answers as plainly as torch allows."""

    def __init__(self, case: Case) -> None:
        built = models.build(case.architecture, classes=len(CLASSES), input=case.input, seed=SEED)
        self._model = built.eval()
        self._size = (case.pixels, case.pixels)

    def decode(self, encoded: bytes) -> npt.NDArray[np.uint8]:
        """Pixels [H, W, 3]."""
        image = Image.open(io.BytesIO(encoded)).convert("RGB")
        return np.asarray(image if image.size == self._size else image.resize(self._size))

    @torch.inference_mode()
    def predict(self, images: list[npt.NDArray[np.uint8]]) -> Tensor:
        """Probabilities [N, K]."""
        pixels_NCHW = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        x_NCHW = (pixels_NCHW.float() / 255 - MEAN) / STD
        return self._model(x_NCHW).softmax(dim=1)


def told(probabilities: Tensor) -> dict[str, object]:
    """The answer for one image, as the peers give it."""
    best = probabilities.topk(5)
    labels = [CLASSES[index] for index in best.indices.tolist()]
    pairs = zip(labels, best.values.tolist(), strict=True)
    return {
        "label": labels[0],
        "top_k": [{"label": label, "probability": value} for label, value in pairs],
    }
