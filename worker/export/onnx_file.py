"""A version as an ONNX file that nobody can ask wrongly: raw pixels in, probabilities out.

Legend: N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from lure_core.checkpoint import normalisation_of, restore
from lure_core.config import InputSpec, Normalisation
from lure_core.types import Checkpoint

INPUT, OUTPUT = "images", "probabilities"
OPSET = 20  # what onnxruntime has read since 1.17; stated, so that torch's default may move


class Asked(nn.Module):
    """The model with what is done before and behind it when it is served."""

    scale: Tensor
    shift: Tensor

    def __init__(self, model: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.model = model
        mean = torch.tensor(normalisation.mean).view(1, -1, 1, 1)
        std = torch.tensor(normalisation.std).view(1, -1, 1, 1)
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", mean / std)

    def forward(self, images: Tensor) -> Tensor:
        """Float32 probabilities [N, K] of uint8 images [N, C, H, W]."""
        normalised = images.to(torch.float32) * self.scale - self.shift
        probabilities: Tensor = self.model(normalised).softmax(dim=1)
        return probabilities


def write(checkpoint: Checkpoint, path: Path, *, stream: str, version: int) -> None:
    """Write the file; its metadata name the classes, the version and its weights' digest.

    Raises:
        BadCheckpoint: Weights and sidecar do not fit together.
        Exception: torch raises much when a model cannot be exported.
    """
    sidecar = checkpoint.sidecar
    spec = InputSpec.from_dict(sidecar["input"])
    asked = Asked(restore(checkpoint), normalisation_of(checkpoint)).eval()
    example = torch.zeros(2, spec.channels, spec.height, spec.width, dtype=torch.uint8)
    program = torch.onnx.export(
        asked,
        (example,),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("N")},),
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None, "the exporter gives a program"
    program.save(str(path))
    _describe(
        path,
        {
            "classes": json.dumps(sidecar["classes"], ensure_ascii=False),
            "input": json.dumps(sidecar["input"]),
            "normalisation": json.dumps(sidecar["normalisation"]),
            "stream": stream,
            "version": str(version),
            "weights_sha256": sidecar["weights_sha256"],
        },
    )


def _describe(path: Path, metadata: dict[str, str]) -> None:
    file = onnx.load(path)
    onnx.helper.set_model_props(file, metadata)
    onnx.checker.check_model(file)
    onnx.save(file, path)
