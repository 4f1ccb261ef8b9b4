"""Which models can have an open class list: told before a class list has grown."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lure_core import models
from lure_core.config import InputSpec
from lure_core.errors import ConfigError
from lure_core.models import heads
from tests.lure_core.models.golden_losses import SMALL_VIT
from tests.lure_core.models.own_nets import HERE

SPEC = InputSpec(3, 32, 32)


@pytest.mark.parametrize("factory", [f"{HERE}:conv", SMALL_VIT])
def test_a_model_of_ones_own_whose_head_can_grow_is_taken(factory: str) -> None:
    models.require_growth(factory, input=SPEC)
    models.require_growth(factory, input=SPEC, classes=17)


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("two_heads", "differs in more than its head"),
        ("counted", "fails: .*size"),
        ("two_at_most", "two classes at most"),
    ],
)
def test_a_model_whose_head_cannot_grow_is_refused(factory: str, words: str) -> None:
    models.build(f"{HERE}:{factory}", classes=2, input=SPEC, seed=1)
    with pytest.raises(ConfigError, match=f"cannot have an open class list: .*{words}"):
        models.require_growth(f"{HERE}:{factory}", input=SPEC)


def test_trying_whether_a_head_grows_draws_nothing() -> None:
    before = torch.get_rng_state()
    models.require_growth(f"{HERE}:conv", input=SPEC)
    assert torch.equal(torch.get_rng_state(), before)


def test_code_that_is_not_allowed_is_not_tried() -> None:
    with pytest.raises(ConfigError, match="not allowed here"):
        models.require_growth(f"{HERE}:conv", input=SPEC, allowed=())


def test_models_of_the_registry_are_not_built_to_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "build", None)
    models.require_growth("vit_h_14", input=SPEC)


FAMILIES = ["mlp", "resnet20s", "resnet18", "vgg11_bn", "squeezenet1_1", "mobilenet_v3_small"]
FAMILIES += ["shufflenet_v2_x0_5", "efficientnet_b0", "densenet121", "mnasnet0_5"]
FAMILIES += ["googlenet", "convnext_tiny", "swin_t", "vit_b_16"]


@pytest.mark.parametrize("name", FAMILIES)
def test_models_of_the_registry_grow(name: str) -> None:
    with torch.device("meta"):  # shapes alone decide; no memory is filled
        model, fresh = (models.build(name, classes=n, input=SPEC, seed=1) for n in (2, 3))
        heads.grow_head(model, fresh)
    layer = models.head(model)[1]
    assert isinstance(layer, (heads.GrownLinear, heads.GrownConv))
    assert len(layer.weight) == 3


@pytest.mark.parametrize("name", ["resnet20s", "mlp", "squeezenet1_1", "regnet_y_400mf"])
def test_a_grown_model_of_the_registry_answers_for_one_class_more(name: str) -> None:
    model, fresh = (models.build(name, classes=n, input=SPEC, seed=1) for n in (2, 3))
    models.grow_head(model, fresh)
    assert isinstance(model, nn.Module)
    assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
