"""Precision "auto" is a rule over hardware and size."""

from __future__ import annotations

import pytest
import torch

from lure_core import precision
from lure_core.errors import ConfigError
from lure_core.precision import BF16_FROM_FLOPS, choose

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("hardware", "flops", "bf16"),
    [
        (True, BF16_FROM_FLOPS, True),
        (True, BF16_FROM_FLOPS - 1, False),
        (False, BF16_FROM_FLOPS, False),
    ],
)
def test_auto_takes_bf16_for_large_models_on_hardware_that_has_it(
    monkeypatch: pytest.MonkeyPatch, hardware: bool, flops: int, bf16: bool
) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda _: hardware)
    assert choose("auto", device=CPU, flops=flops).bf16 is bf16


def test_a_thin_net_in_fp32_runs_channels_last_and_a_large_one_does_not() -> None:
    assert choose("fp32", device=CPU, flops=5_000_000).channels_last
    assert not choose("fp32", device=CPU, flops=1_000_000_000).channels_last


def test_bf16_is_taken_where_it_is_asked_for() -> None:
    chosen = choose("bf16", device=CPU, flops=1)
    assert chosen.bf16
    with chosen.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="cuda:99"):
        precision.device_of("cuda:99")
    assert precision.device_of("auto").type in ("cpu", "cuda")
