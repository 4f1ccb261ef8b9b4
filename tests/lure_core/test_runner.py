"""One module, the weights of one version after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lure_core import models
from lure_core.checkpoint import LoadedClassifier, load_classifier, pack, restore, shape_of
from lure_core.config import InputSpec
from lure_core.errors import BadCheckpoint
from lure_core.models.blank import Blank
from lure_core.precision import Precision, answering, serving
from lure_core.rng import generator
from lure_core.types import Checkpoint
from tests.lure_core.making import create_config, create_net, create_samples

CPU = torch.device("cpu")
IMAGES = create_samples(40).images


def version(seed: int = 0, architecture: str = "resnet20s") -> Checkpoint:
    return pack(create_net(seed, architecture), create_config(architecture=architecture))


def loaded(of: Checkpoint, into: LoadedClassifier | None = None) -> LoadedClassifier:
    return load_classifier(of.weights, of.sidecar, spare=into.runner if into else None)


def test_a_spare_answers_as_a_new_one() -> None:
    spare = loaded(version(1))
    before = spare.predict(IMAGES)
    other = version(2)
    reused = loaded(other, into=spare)
    assert reused.runner is spare.runner
    assert np.array_equal(reused.predict(IMAGES), loaded(other).predict(IMAGES))
    assert not np.allclose(before, reused.predict(IMAGES))


def test_what_is_served_has_the_top_1_of_what_is_judged() -> None:
    for architecture in ("resnet20s", "resnet18", "mlp"):
        served = version(3, architecture)
        judged = serving(CPU).place(restore(served))
        with torch.inference_mode():
            mean, std = served.sidecar["normalisation"]["mean"], served.sidecar["normalisation"]
            x_NCHW = (IMAGES / 255 - torch.tensor(mean)) / torch.tensor(std["std"])
            expected = judged(x_NCHW).softmax(dim=1).numpy()
        found = loaded(served).predict(IMAGES)
        assert np.allclose(found, expected, atol=1e-5)
        assert np.array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def test_weights_of_another_shape_do_not_go_into_a_spare() -> None:
    spare = loaded(version())
    wrong = version(architecture="mlp")
    disguised = Checkpoint(wrong.weights, {**wrong.sidecar, "architecture": "resnet20s"})
    with pytest.raises(BadCheckpoint, match="fit"):
        loaded(disguised, into=spare)


def test_shapes_are_told_apart() -> None:
    fp32, bf16 = answering("fp32", device=CPU), answering("bf16", device=CPU)
    sidecar = version().sidecar
    shape = shape_of(sidecar, fp32)
    assert shape == shape_of(version(7).sidecar, fp32)
    assert shape != shape_of(sidecar, bf16)
    assert shape != shape_of({**sidecar, "classes": ["a", "b"]}, fp32)


def test_in_bf16_the_answers_are_near() -> None:
    one = version(4)
    precise = loaded(one).predict(IMAGES)
    bf16 = answering("bf16", device=CPU)
    rough = load_classifier(one.weights, one.sidecar, precision=bf16).predict(IMAGES)
    assert rough.dtype == np.float32
    assert 0 < np.abs(precise - rough).max() < 0.05


@pytest.mark.parametrize(
    ("name", "agreement", "has", "chosen"),
    [
        ("auto", {"bf16": 0.995, "device": "cpu"}, True, True),
        ("auto", {"bf16": 0.994, "device": "cpu"}, True, False),
        ("auto", {"bf16": 1.0, "device": "cuda"}, True, False),  # where bf16 always gains
        ("auto", {"bf16": 1.0}, True, False),  # measured before the device was recorded
        ("auto", None, True, False),
        ("auto", {"bf16": 1.0, "device": "cpu"}, False, False),
        ("fp32", {"bf16": 1.0, "device": "cpu"}, True, False),
        ("bf16", None, False, True),
    ],
)
def test_bf16_is_served_where_it_is_in_the_hardware_and_agreed_on_such_a_device(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    agreement: dict[str, Any] | None,
    has: bool,
    chosen: bool,
) -> None:
    monkeypatch.setattr("lure_core.precision.has_bf16", lambda device: has)
    found = answering(name, device=CPU, agreement=agreement)
    assert found == Precision(CPU, bf16=chosen, channels_last=True)


@pytest.mark.parametrize("architecture", ["resnet20s", "resnet18", "mobilenet_v2", "swin_t"])
def test_a_blank_model_takes_weights_like_any_other(architecture: str) -> None:
    spec = InputSpec(3, 32, 32)
    drawn = models.build(architecture, classes=3, input=spec, seed=1).eval()
    with Blank():
        blank = models.build(architecture, classes=3, input=spec, seed=1).eval()
    assert not any(bool(p.any()) for n, p in blank.named_parameters() if n.endswith("conv1.weight"))
    blank.load_state_dict(drawn.state_dict())
    x_NCHW = torch.rand(2, 3, 32, 32, generator=generator(0))
    with torch.inference_mode():
        assert torch.equal(blank(x_NCHW), drawn(x_NCHW))
