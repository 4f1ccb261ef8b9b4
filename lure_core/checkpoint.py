"""Models and half-finished cycles as bytes: safetensors throughout, nothing to unpickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from lure_core import models
from lure_core.config import CycleConfig, InputSpec, Normalisation
from lure_core.errors import BadCheckpoint, ConfigError, UnknownArchitecture
from lure_core.folding import Breath, go_on
from lure_core.precision import Precision, answering, device_of, libraries
from lure_core.runner import Runner, Shape
from lure_core.types import Checkpoint

FORMAT_VERSION = 1
_NOTES = "lure"


def pack(
    model: nn.Module, config: CycleConfig, extra: Mapping[str, Any] | None = None
) -> Checkpoint:
    """The model's weights with all that is needed to use them; `extra` joins the sidecar."""
    weights = save_tensors(_portable(model.state_dict()))
    sidecar = {
        **(extra or {}),
        "format_version": FORMAT_VERSION,
        "architecture": config.architecture,
        "classes": list(config.classes),
        "input": config.input.to_dict(),
        "normalisation": {k: list(v) for k, v in config.normalisation.to_dict().items()},
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "libraries": libraries(),
    }
    return Checkpoint(weights, sidecar)


def restore(checkpoint: Checkpoint) -> nn.Module:
    """The model, on the CPU and in evaluation mode.

    Raises:
        BadCheckpoint: The digest is wrong, or weights and sidecar do not fit together.
    """
    sidecar = checkpoint.sidecar
    weights = weights_of(checkpoint)
    with _fitting():
        model = models.build(
            sidecar["architecture"],
            classes=len(sidecar["classes"]),
            input=InputSpec.from_dict(sidecar["input"]),
            seed=0,
        )
        model.load_state_dict(weights, strict=True)
    return model.eval()


def weights_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Its tensors by name, after its digest was checked.

    Raises:
        BadCheckpoint: The digest is wrong, or the bytes are something else.
    """
    sidecar = checkpoint.sidecar
    if sidecar.get("format_version") != FORMAT_VERSION:
        raise BadCheckpoint(f"sidecar of format {sidecar.get('format_version')!r}, not 1")
    if hashlib.sha256(checkpoint.weights).hexdigest() != sidecar.get("weights_sha256"):
        raise BadCheckpoint("the weights do not have the digest that their sidecar names")
    with _fitting():
        return load_tensors(checkpoint.weights)


def normalisation_of(checkpoint: Checkpoint) -> Normalisation:
    """As the sidecar has it; raises `BadCheckpoint` where it is missing or of other channels."""
    try:
        found = Normalisation.from_dict(checkpoint.sidecar["normalisation"])
        channels = InputSpec.from_dict(checkpoint.sidecar["input"]).channels
    except (KeyError, ConfigError) as error:
        raise BadCheckpoint(f"the sidecar is not usable: {error}") from error
    if len(found.mean) != channels:
        raise BadCheckpoint(f"the sidecar's normalisation is not for {channels} channel(s)")
    return found


def shape_of(sidecar: Mapping[str, Any], precision: Precision) -> Shape:
    """What a module must be built for to take that version's weights.

    Raises:
        BadCheckpoint: The sidecar is not usable.
    """
    with _fitting():
        return Shape(
            architecture=str(sidecar["architecture"]),
            classes=len(sidecar["classes"]),
            input=InputSpec.from_dict(sidecar["input"]),
            precision=precision,
        )


class LoadedClassifier:
    """A version ready to answer. Safe to use from several threads: answering changes nothing.

    Attributes:
        runner: The module that holds its weights. Whoever lets go of this classifier may load
            others into it.
    """

    def __init__(self, checkpoint: Checkpoint, runner: Runner) -> None:
        self.runner = runner
        self._normalisation = normalisation_of(checkpoint)
        self.classes: tuple[str, ...] = tuple(checkpoint.sidecar["classes"])
        self.input = runner.shape.input

    def predict(self, images_u8: npt.NDArray[np.uint8] | Tensor) -> npt.NDArray[np.float32]:
        """Probabilities [N, K] of raw images [N, C, H, W] of the classifier's input shape."""
        # Copied: torch warns about arrays that are not writable, such as a memory map.
        given = np.array(images_u8) if isinstance(images_u8, np.ndarray) else images_u8
        images = torch.as_tensor(given)
        shape = (self.input.channels, self.input.height, self.input.width)
        assert images.dtype == torch.uint8
        assert tuple(images.shape[1:]) == shape, f"{tuple(images.shape)} is no batch of {shape}"
        output: npt.NDArray[np.float32] = self.runner.answer(images, self._normalisation).numpy()
        return output

    def warm_up(self) -> None:
        """Answer once, so that the first caller does not pay for lazy initialisation."""
        spec = self.input
        self.predict(np.zeros((1, spec.channels, spec.height, spec.width), dtype=np.uint8))


def load_classifier(
    weights: Path | bytes,
    sidecar: Mapping[str, Any],
    *,
    device: str = "cpu",
    precision: Precision | None = None,
    spare: Runner | None = None,
    breathe: Breath = go_on,
) -> LoadedClassifier:
    """Load a version for serving.

    Args:
        weights: The safetensors file or its content.
        sidecar: What goes with it.
        device: Where it answers, unless `precision` says so too.
        precision: In what it answers; fp32 unless given.
        spare: A runner of the version's shape that answers nobody any more; its weights are
            replaced. One is built unless given.
        breathe: Called between the steps of that.

    Raises:
        BadCheckpoint: The digest is wrong, or weights and sidecar do not fit together. What
            `spare` holds is undefined then.
    """
    content = weights if isinstance(weights, bytes) else weights.read_bytes()
    checkpoint = Checkpoint(content, dict(sidecar))
    tensors = weights_of(checkpoint)
    shape = shape_of(sidecar, precision or answering("fp32", device=device_of(device)))
    with _fitting():
        if spare is None:
            spare = Runner(shape, tensors)
        else:
            assert spare.shape == shape
            breathe()
            spare.load(tensors, breathe)
    return LoadedClassifier(checkpoint, spare)


@contextmanager
def _fitting() -> Iterator[None]:
    """Tell what does not fit together as a `BadCheckpoint`."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        raise BadCheckpoint(f"the weights do not fit their sidecar: {error}") from error
    except (KeyError, TypeError, ConfigError, UnknownArchitecture) as error:
        raise BadCheckpoint(f"the sidecar is not usable: {error}") from error


def pack_state(tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> bytes:
    """A half-finished cycle: tensors, and JSON notes about them."""
    return save_tensors(_portable(tensors), metadata={_NOTES: json.dumps(notes)})


def unpack_state(content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Undo `pack_state`.

    Raises:
        BadCheckpoint: The bytes are damaged or something else.
    """
    try:
        tensors = load_tensors(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        notes: dict[str, Any] = json.loads(header["__metadata__"][_NOTES])
    except (SafetensorError, KeyError, ValueError) as error:
        raise BadCheckpoint(f"this is no resume state: {error}") from error
    return tensors, notes


def _portable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, in plain order and no two in one place, as safetensors wants them."""
    portable: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        tied = plain.untyped_storage().data_ptr() in places
        portable[name] = plain.clone() if tied else plain
        places.add(plain.untyped_storage().data_ptr())
    return portable
