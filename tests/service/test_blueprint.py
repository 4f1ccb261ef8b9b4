from __future__ import annotations

from typing import Any

import pytest

from service import blueprint
from service.errors import Invalid
from service.schemas.streams import NewStream


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
        ({"name": "x", "classes": "open"}, "/classes", "not offered"),
        ({"name": "x", "classes": []}, "/classes", "list"),
        ({"name": "x", "classes": ["a", "a"]}, "/classes/1", "same name"),
        ({"name": "x", "classes": ["a", 1]}, "/classes/1", "text"),
        ({"name": "x", "classes": ["a", "b\x00"]}, "/classes/1", "printed"),
        ({"name": "x", "input": {"channels": 2}}, "/input/channels", "1 (grey) or 3"),
        ({"name": "x", "input": {"channels": 1}}, "/input/height", "missing"),
        ({"name": "x", "policies": {"gates": {}}}, "/policies/gates", "did you mean gate?"),
        ({"name": "x", "policies": {"gate": {"tolerance": 2}}}, "/policies/gate/tolerance", "1"),
        ({"name": "x", "policies": {"replay": {"kind": "half"}}}, "/policies/replay/kind", "full"),
    ],
)
def test_a_fault_is_told_with_its_pointer(body: Any, pointer: str, words: str) -> None:
    with pytest.raises(Invalid) as refusal:
        blueprint.stream_of(NewStream.model_validate(body))
    found = {fault.pointer: fault.detail for fault in refusal.value.faults}
    assert words in found[pointer]
