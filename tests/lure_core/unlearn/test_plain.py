"""The two ends of the scale."""

from __future__ import annotations

import pytest

from tests.lure_core.making import same
from tests.lure_core.unlearn.zoo import MODELS, forget, fresh, original


@pytest.mark.parametrize("kind", MODELS)
def test_warm_leaves_every_bit(kind: str) -> None:
    model, report = forget("warm", kind)
    assert same(model.state_dict(), original(kind).state_dict())
    assert report.reset == 0


@pytest.mark.parametrize("kind", MODELS)
def test_scratch_is_the_fresh_model(kind: str) -> None:
    model, report = forget("scratch", kind)
    assert same(model.state_dict(), fresh(kind).state_dict())
    assert report.reset == report.counted == sum(p.numel() for p in model.parameters())
