from __future__ import annotations

from typing import Any, get_args

import pytest

from lure_core import presets
from lure_core.config import Recipe, StrategyName, Unlearn
from service import blueprint
from service.errors import Invalid
from service.schemas.streams import NewStream
from store.models import Stream
from tests.lure_core.models import own_nets

SPEC = {"channels": 1, "height": 8, "width": 8}


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"name": "x", "recipes": {}}, "/recipes", "did you mean recipe?"),
        ({"name": "x", "recipe": {"epoch": 1}}, "/recipe/epoch", "did you mean epochs?"),
        ({"name": "x", "recipe": {"epochs": 0}}, "/recipe/epochs", "between 1 and 10000"),
        ({"name": "x", "recipe": {"epochs": "9"}}, "/recipe/epochs", "whole number"),
        ({"name": "x", "recipe": 3}, "/recipe", "object"),
        ({"name": "x", "architecture": "resnet19"}, "/architecture", "did you mean resnet18"),
        ({"name": "x", "architecture": None}, "/architecture", "resnet20s"),
        ({"name": "x", "architecture": "os:system"}, "/architecture", "'os' are not allowed here"),
        ({"name": "x", "architecture": "os"}, "/architecture", "unknown architecture"),
        (
            {
                "name": "x",
                "architecture": "vit_b_16",
                "input": {"channels": 3, "height": 30, "width": 30},
            },
            "/architecture",
            "multiple of 16",
        ),
        ({"name": "x", "classes": "opened"}, "/classes", 'class names, "open" or null'),
        ({"name": "x", "classes": []}, "/classes", "list"),
        ({"name": "x", "classes": ["a", "a"]}, "/classes/1", "same name"),
        ({"name": "x", "classes": ["a", 1]}, "/classes/1", "text"),
        ({"name": "x", "classes": ["a", "b\x00"]}, "/classes/1", "printed"),
        ({"name": "x", "input": {"channels": 2}}, "/input/channels", "1 (grey) or 3"),
        ({"name": "x", "input": {"channels": 1}}, "/input/height", "missing"),
        ({"name": "x", "policies": {"gates": {}}}, "/policies/gates", "did you mean gate?"),
        ({"name": "x", "policies": {"gate": {"tolerance": 2}}}, "/policies/gate/tolerance", "1"),
        ({"name": "x", "policies": {"replay": {"kind": "half"}}}, "/policies/replay/kind", "full"),
        ({"name": "x", "policies": {"replay": {"capacity": 0}}}, "/policies/replay/capacity", "1"),
        (
            {"name": "x", "policies": {"unlearn": {"strategy": "shrink-pertub"}}},
            "/policies/unlearn/strategy",
            "did you mean 'shrink-perturb'?",
        ),
        (
            {"name": "x", "policies": {"unlearn": {"candidates": ["auto"]}}},
            "/policies/unlearn/candidates",
            "none of auto, dash, lure-official",
        ),
        ({"name": "x", "recipe": "frugl"}, "/recipe", "did you mean frugal?"),
        ({"name": "x", "recipe": {"name": "quick"}}, "/recipe/name", "there are standard"),
        ({"name": "x", "recipe": {"name": ["frugal"]}}, "/recipe/name", "no recipe"),
        ({"name": "x", "recipe": {"name": "frugal", "epoch": 1}}, "/recipe/epoch", "epochs?"),
    ],
)
def test_a_fault_is_told_with_its_pointer(body: Any, pointer: str, words: str) -> None:
    with pytest.raises(Invalid) as refusal:
        blueprint.stream_of(NewStream.model_validate(body))
    found = {fault.pointer: fault.detail for fault in refusal.value.faults}
    assert words in found[pointer]


def made(**members: Any) -> Stream:
    return blueprint.stream_of(NewStream.model_validate({"name": "x", **members}))


def test_open_classes_begin_with_none() -> None:
    assert (made(classes="open").classes, made(classes="open").open_classes) == (None, True)
    assert (made().classes, made().open_classes) == (None, False)


@pytest.mark.parametrize("strategy", get_args(StrategyName))
def test_every_strategy_can_be_asked_for(strategy: str) -> None:
    unlearn = made(policies={"unlearn": {"strategy": strategy}}).policies["unlearn"]
    assert Unlearn.from_dict(unlearn) == Unlearn(strategy=strategy)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_named_recipe_is_kept_in_full(name: str) -> None:
    recipe, unlearn = presets.apply(name, Recipe(), Unlearn())
    for stream in (made(recipe=name), made(recipe={"name": name})):
        assert Recipe.from_dict(stream.recipe) == recipe
        assert Unlearn.from_dict(stream.policies["unlearn"]) == unlearn


def test_what_is_stated_beside_a_name_overrules_it(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = presets.Preset({"epochs": 40, "ema": 0.9}, {"strategy": "fire", "scale": "paper"})
    monkeypatch.setattr(presets, "PRESETS", {"thrifty": preset})
    stream = made(
        recipe={"name": "thrifty", "epochs": 3, "seed": 5},
        policies={"unlearn": {"strategy": "dash"}},
    )
    recipe, unlearn = Recipe.from_dict(stream.recipe), Unlearn.from_dict(stream.policies["unlearn"])
    assert (recipe.epochs, recipe.ema, recipe.seed, stream.seed) == (3, 0.9, 5, 5)
    assert (unlearn.strategy, unlearn.scale) == ("dash", "paper")


@pytest.mark.parametrize(
    ("recipe", "learn", "relearn"),
    [
        ({"name": "standard", "epochs": 5}, None, 5),
        ({"name": "paper", "epochs": 5}, None, 5),
        ({"name": "frugal", "epochs": 30}, None, 10),
        ({"name": "frugal", "epochs": 30, "learn_epochs": 20}, 20, 10),
    ],
)
def test_epochs_beside_a_name_are_those_that_it_takes_its_shares_of(
    recipe: dict[str, Any], learn: int | None, relearn: int
) -> None:
    kept = made(recipe=recipe).recipe
    assert (kept["learn_epochs"], kept["epochs"]) == (learn, relearn)


def test_a_model_of_ones_own_is_taken_from_the_packages_that_are_allowed() -> None:
    wanted = NewStream.model_validate({"name": "x", "architecture": "lure_core.models.mlp:mlp"})
    assert blueprint.stream_of(wanted, packages=["lure_core"]).architecture.endswith(":mlp")
    for packages in ((), ("lure_core.data",), ("lure",)):
        with pytest.raises(Invalid, match="not allowed here"):
            blueprint.stream_of(wanted, packages=packages)
    blueprint.stream_of(wanted, packages=["lure_core.models.mlp:mlp"])
    near = NewStream.model_validate({"name": "x", "architecture": "lure_core.models.mlp:mpl"})
    with pytest.raises(Invalid, match=r"did you mean lure_core\.models\.mlp:mlp\?"):
        blueprint.stream_of(near, packages=["lure_core"])


@pytest.mark.parametrize(
    ("model", "members", "refused"),
    [
        ("two_heads", {"classes": "open", "input": SPEC}, True),
        ("conv", {"classes": "open", "input": SPEC}, False),
        ("two_heads", {"classes": ["a", "b"], "input": SPEC}, False),
        ("two_heads", {"classes": "open"}, False),  # the worker tries it, on its first chunk
    ],
)
def test_a_model_whose_head_cannot_grow_gets_no_open_class_list(
    model: str, members: dict[str, Any], refused: bool
) -> None:
    body = {"name": "x", "architecture": f"{own_nets.HERE}:{model}", **members}
    wanted = NewStream.model_validate(body)
    if not refused:
        assert blueprint.stream_of(wanted, packages=["tests"]).architecture == body["architecture"]
        return
    with pytest.raises(Invalid) as refusal:
        blueprint.stream_of(wanted, packages=["tests"])
    (fault,) = refusal.value.faults
    assert fault.pointer == "/architecture"
    assert "this model cannot have an open class list: " in fault.detail
