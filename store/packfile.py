"""The bytes of a pack: predictions and their images as a safetensors file.

Tensors: `images` uint8, all images as they were sent, one behind the other; `offsets` int64 [N+1],
where each begins and the last ends; `answers` int32 [N], places in the list of labels;
`probabilities` float32 [N]; `versions` int32 [N]; `head` uint8, JSON with the format's name and
version and the labels that were answered.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from store.errors import BadPack

_FORMAT = {"format": "lure-predictions", "version": 1}
_TYPES = {
    "head": np.uint8,
    "images": np.uint8,
    "offsets": np.int64,
    "answers": np.int32,
    "probabilities": np.float32,
    "versions": np.int32,
}
_Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Record:
    """A prediction: the image as it was sent, the label answered, how surely, by which version."""

    image: bytes
    answer: str
    probability: float
    version: int


def pack(records: Sequence[Record]) -> bytes:
    """The file of those predictions, at least one, in their order."""
    places: dict[str, int] = {}
    answers = [places.setdefault(record.answer, len(places)) for record in records]
    head = json.dumps({**_FORMAT, "labels": list(places)}).encode()
    columns: _Columns = {
        "head": np.frombuffer(head, np.uint8),
        "images": np.frombuffer(b"".join(record.image for record in records), np.uint8),
        "offsets": np.cumsum([0, *(len(record.image) for record in records)], dtype=np.int64),
        "answers": np.array(answers, np.int32),
        "probabilities": np.array([record.probability for record in records], np.float32),
        "versions": np.array([record.version for record in records], np.int32),
    }
    return save(columns)


def unpack(data: bytes) -> list[Record]:
    """The predictions in a pack's file, each checked to lie within it.

    Raises:
        BadPack: Damaged, cut off, or no such file at all.
    """
    columns = _columns(data)
    labels = _labels(columns["head"].tobytes())
    images, offsets = columns["images"].tobytes(), columns["offsets"]
    answers, count = columns["answers"], len(columns["answers"])
    if any(len(columns[name]) != count for name in ("probabilities", "versions")):
        raise BadPack("the pack's columns differ in length")
    if len(offsets) != count + 1 or offsets[0] != 0 or offsets[-1] != len(images):
        raise BadPack("the pack's images are not where it says")
    if (np.diff(offsets) < 0).any():
        raise BadPack("the pack's images overlap")
    if count and not 0 <= answers.min() <= answers.max() < len(labels):
        raise BadPack("the pack holds an answer that has no label")
    rows = zip(
        offsets[:-1].tolist(),
        offsets[1:].tolist(),
        answers.tolist(),
        columns["probabilities"].tolist(),
        columns["versions"].tolist(),
        strict=True,
    )
    return [
        Record(images[start:end], labels[answer], probability, version)
        for start, end, answer, probability, version in rows
    ]


def _columns(data: bytes) -> _Columns:
    try:
        columns = load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as fault:
        raise BadPack("this is not a pack: it is cut off or damaged") from fault
    if columns.keys() != _TYPES.keys():
        raise BadPack("this safetensors file is not a pack")
    if any(column.ndim != 1 or column.dtype != _TYPES[name] for name, column in columns.items()):
        raise BadPack("the pack's columns are not of their types")
    return columns


def _labels(head: bytes) -> list[str]:
    try:
        told = json.loads(head)
    except (ValueError, RecursionError) as fault:
        raise BadPack("the pack's head is no JSON") from fault
    labels = told.pop("labels", None) if isinstance(told, dict) else None
    if told != _FORMAT:
        raise BadPack("this is no pack, or one of another version")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise BadPack("the pack's labels are no list of names")
    return labels
