"""How often the answers of bf16 are those of fp32, on the judge images of some chunks."""

from __future__ import annotations

import pytest

from lure_core import agreement, versions
from lure_core.checkpoint import pack
from lure_core.types import Split
from tests.lure_core.making import create_config, create_net, create_samples

CONFIG = create_config()
VERSION = pack(create_net(), CONFIG)


def test_it_is_measured_on_the_judge_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lure_core.precision.has_bf16", lambda device: True)
    monkeypatch.setattr("lure_core.precision.BF16_FROM_FLOPS", 0)
    parts = [create_samples(40, seed=1), create_samples(24, seed=2)]
    judged = versions.answers(VERSION, parts, CONFIG, Split.JUDGE)
    found = agreement.measure(VERSION, parts, CONFIG, judged)
    assert found is not None
    assert found["images"] == 8
    assert 0.8 <= found["bf16"] <= 1
    judged.answer_N[:] = -1
    assert agreement.measure(VERSION, parts, CONFIG, judged) == {
        "bf16": 0.0,
        "images": 8,
        "device": "cpu",
    }


def test_it_is_not_measured_where_bf16_would_gain_nothing() -> None:
    parts = [create_samples(40)]
    judged = versions.answers(VERSION, parts, CONFIG, Split.JUDGE)
    assert agreement.measure(VERSION, parts, CONFIG, judged) is None
