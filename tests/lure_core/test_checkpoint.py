"""Versions at rest: what is packed comes back, and nothing that does not fit is served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lure_core import checkpoint
from lure_core.checkpoint import load_classifier, pack
from lure_core.errors import BadCheckpoint
from lure_core.rng import forked
from lure_core.types import Checkpoint
from tests.lure_core.making import create_config, create_net, create_samples, same


def create_version() -> Checkpoint:
    return pack(create_net(3), create_config(), {"note": "kept"})


def changed(**members: Any) -> Checkpoint:
    version = create_version()
    return Checkpoint(version.weights, {**version.sidecar, **members})


def test_the_sidecar_is_json_and_says_all() -> None:
    sidecar = json.loads(json.dumps(create_version().sidecar))
    assert sidecar["format_version"] == 1
    assert sidecar["architecture"] == "resnet20s"
    assert sidecar["classes"] == ["a", "b", "c"]
    assert sidecar["input"] == {"channels": 1, "height": 8, "width": 8}
    assert sidecar["normalisation"] == {"mean": [0.3], "std": [0.2]}
    assert sidecar["note"] == "kept"
    assert "torch" in sidecar["libraries"]


def test_weights_come_back_bit_for_bit_whatever_their_layout() -> None:
    net = create_net(3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    version = pack(net, create_config())
    assert same(checkpoint.restore(version).state_dict(), net.state_dict())
    assert version.weights == create_version().weights


def test_predictions_have_the_right_shape_and_sum_to_one() -> None:
    version = create_version()
    classifier = load_classifier(version.weights, version.sidecar)
    classifier.warm_up()
    answer = classifier.predict(create_samples(5).images.numpy())
    assert (answer.shape, answer.dtype) == ((5, 3), np.float32)
    assert np.allclose(answer.sum(axis=1), 1, atol=1e-5)
    assert classifier.classes == ("a", "b", "c")
    assert classifier.predict(np.zeros((0, 1, 8, 8), dtype=np.uint8)).shape == (0, 3)


def test_an_image_is_answered_alike_alone_and_among_others(tmp_path: Path) -> None:
    version = create_version()
    (tmp_path / "weights").write_bytes(version.weights)
    classifier = load_classifier(tmp_path / "weights", version.sidecar)
    images = create_samples(9).images
    together = classifier.predict(images)
    alone = np.concatenate([classifier.predict(image[None].numpy()) for image in images])
    assert np.allclose(together, alone, atol=1e-6)


def test_read_only_pixels_are_taken_without_a_warning() -> None:
    version = create_version()
    images = create_samples(2).images.numpy()
    images.flags.writeable = False
    assert load_classifier(version.weights, version.sidecar).predict(images).shape == (2, 3)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (changed(weights_sha256="0" * 64), "digest"),
        (changed(classes=["a", "b"]), "fit"),
        (changed(architecture="resnet18"), "fit"),
        (changed(architecture="resnet99"), "unknown architecture"),
        (changed(input={"channels": 3, "height": 8, "width": 8}), "fit"),
        (changed(input={"channels": 1}), "input"),
        (changed(normalisation={}), "normalisation"),
        (changed(normalisation={"mean": [0.1] * 3, "std": [0.1] * 3}), "normalisation"),
        (changed(format_version=2), "format"),
        (Checkpoint(b"nonsense", create_version().sidecar), "digest"),
        (Checkpoint(b"", {"format_version": 1}), "digest"),
    ],
)
def test_what_does_not_fit_is_refused(version: Checkpoint, said: str) -> None:
    with pytest.raises(BadCheckpoint, match=said):
        load_classifier(version.weights, version.sidecar)


def test_a_state_comes_back() -> None:
    tensors = {"model.w": torch.arange(6).view(2, 3).t(), "epoch": torch.tensor(3)}
    content = checkpoint.pack_state(tensors, {"stage": "relearn"})
    found, notes = checkpoint.unpack_state(content)
    assert same(found, tensors)
    assert notes == {"stage": "relearn"}


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, create_version().weights])
def test_bytes_that_are_no_state_are_refused(content: bytes) -> None:
    with pytest.raises(BadCheckpoint, match="no resume state"):
        checkpoint.unpack_state(content)


def test_tied_weights_are_saved_and_tied_again() -> None:
    with forked(0):
        net, other = (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(2))
    for model in (net, other):
        model[1].weight = model[0].weight
    tensors, _ = checkpoint.unpack_state(checkpoint.pack_state(net.state_dict(), {}))
    other.load_state_dict(tensors)
    assert same(other.state_dict(), net.state_dict())
