"""The answer to an inference: JSON, and behind it the tensors that are wanted as bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.batcher import Probabilities
from service.oip.forms import BYTES, FP32
from service.oip.request import LABEL, Inference, Output
from service.schemas.common import spelled
from service.slot import Served

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Answer:
    """A body; `json_bytes` of it are JSON, None: all."""

    body: bytes
    json_bytes: int | None


@dataclass(frozen=True)
class _Told:
    """An output's values in the order of its shape: texts, or None for the probabilities."""

    datatype: str
    shape: list[int]
    texts: list[str] | None


def answer_of(served: Served, inference: Inference, probabilities: Probabilities) -> Answer:
    """Every output that is wanted, each as it is wanted; `probabilities` are [N, K]."""
    outputs, behind = [], []
    for wanted in inference.outputs:
        told = _told(served, wanted, probabilities)
        shown: dict[str, Any] = {
            "name": wanted.name,
            "datatype": told.datatype,
            "shape": told.shape,
        }
        if wanted.binary:
            raw = _lengths_and(told.texts) if told.texts is not None else _raw(probabilities)
            behind.append(raw)
            shown["parameters"] = {"binary_data_size": len(raw)}
        else:
            shown["data"] = probabilities.ravel().tolist() if told.texts is None else told.texts
        outputs.append(shown)
    content: dict[str, Any] = {
        "model_name": served.stream,
        "model_version": str(served.version),
        "parameters": {"model_digest": spelled(served.digest)},
        "outputs": outputs,
    }
    if inference.id is not None:
        content["id"] = inference.id
    # ASCII: a lone surrogate in the client's own id must not fail the answer
    header = json.dumps(content, separators=(",", ":")).encode()
    return Answer(b"".join([header, *behind]), len(header) if behind else None)


def _told(served: Served, wanted: Output, probabilities: Probabilities) -> _Told:
    images, classes = probabilities.shape
    if wanted.name == LABEL:
        best = probabilities.argmax(axis=1).tolist()
        return _Told(BYTES, [images], [served.classes[k] for k in best])
    if wanted.classification is None:
        return _Told(FP32, [images, classes], None)
    count = min(wanted.classification, classes)
    order = (-probabilities).argsort(axis=1, kind="stable")[:, :count]
    scores = np.take_along_axis(probabilities, order, axis=1).ravel().tolist()
    ranked = zip(scores, order.ravel().tolist(), strict=True)
    texts = [f"{score:f}:{k}:{served.classes[k]}" for score, k in ranked]  # as Triton spells them
    return _Told(BYTES, [images, count], texts)


def _raw(probabilities: Probabilities) -> bytes:
    return probabilities.astype("<f4", copy=False).tobytes()


def _lengths_and(texts: Iterable[str]) -> bytes:
    """Each text behind its length in four bytes."""
    encoded = [text.encode() for text in texts]
    return b"".join(part for one in encoded for part in (_LENGTH.pack(len(one)), one))
