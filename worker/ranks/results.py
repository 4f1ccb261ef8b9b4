"""A cycle's result as bytes: safetensors with JSON notes, nothing to unpickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lure_core.answers import Answers
from lure_core.checkpoint import pack_state, unpack_state
from lure_core.cycle import Checkpoint, CycleResult
from lure_core.types import Metrics, UnlearnReport

_WEIGHTS, _MASK = "weights", "mask"
_ARRAYS = ("label_N", "answer_N", "confidence_N", "part_N")
_APART = ("checkpoint", "metrics", "parent_metrics", "answers", "parent_answers", "unlearn")


def pack(result: CycleResult) -> bytes:
    """All of it."""
    tensors = {_WEIGHTS: torch.frombuffer(bytearray(result.checkpoint.weights), dtype=torch.uint8)}
    for whose in ("answers", "parent_answers"):
        answers: Answers | None = getattr(result, whose)
        if answers is not None:
            arrays = {name: getattr(answers, name) for name in _ARRAYS}
            tensors |= {f"{whose}.{n}": torch.from_numpy(array) for n, array in arrays.items()}
    report = result.unlearn
    if report is not None and report.mask is not None:
        tensors[_MASK] = torch.from_numpy(report.mask)
    plain = {f.name: getattr(result, f.name) for f in fields(result) if f.name not in _APART}
    notes = {
        "sidecar": result.checkpoint.sidecar,
        "names": result.answers.names,
        "metrics": result.metrics.to_dict(),
        "parent_metrics": result.parent_metrics and result.parent_metrics.to_dict(),
        "unlearn": report and report.to_dict(),
        "plain": plain,
    }
    return pack_state(tensors, notes)


def unpack(content: bytes) -> CycleResult:
    """Undo `pack`."""
    tensors, notes = unpack_state(content)
    parent, report = notes["parent_metrics"], notes["unlearn"]
    mask = tensors[_MASK].numpy() if _MASK in tensors else None
    answers = _answers(tensors, "answers", notes["names"])
    assert answers is not None
    return CycleResult(
        checkpoint=Checkpoint(tensors[_WEIGHTS].numpy().tobytes(), notes["sidecar"]),
        metrics=Metrics(**notes["metrics"]),
        parent_metrics=None if parent is None else Metrics(**parent),
        answers=answers,
        parent_answers=_answers(tensors, "parent_answers", notes["names"]),
        unlearn=None if report is None else UnlearnReport.from_dict(report, mask),
        **notes["plain"],
    )


def _answers(tensors: Mapping[str, Tensor], whose: str, names: list[str]) -> Answers | None:
    if f"{whose}.{_ARRAYS[0]}" not in tensors:
        return None
    arrays: dict[str, Any] = {n: np.asarray(tensors[f"{whose}.{n}"]) for n in _ARRAYS}
    return Answers(**arrays, names=tuple(names))
