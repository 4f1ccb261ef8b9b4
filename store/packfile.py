"""The bytes of a pack: predictions and their images as a safetensors file.

Tensors: `images` uint8, all images as they were sent, one behind the other; `offsets` int64 [N+1],
where each begins and the last ends; `answers` int32 [N], places in the list of labels;
`probabilities` float32 [N]; `versions` int32 [N]; `head` uint8, JSON with the format's name and
version and the labels that were answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
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


@dataclass(frozen=True)
class Answers:
    """Of each prediction in a pack: the label answered, and by which version."""

    labels: list[str]
    versions: list[int]


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
    with _no_other_fault():
        columns = load(data)
    _check(columns.keys(), columns)
    answers = _answered(columns)
    images, offsets = columns["images"].tobytes(), columns["offsets"]
    count = len(answers)
    if len(columns["probabilities"]) != count:
        raise BadPack("the pack's columns differ in length")
    if len(offsets) != count + 1 or offsets[0] != 0 or offsets[-1] != len(images):
        raise BadPack("the pack's images are not where it says")
    if (np.diff(offsets) < 0).any():
        raise BadPack("the pack's images overlap")
    rows = zip(
        offsets[:-1].tolist(),
        offsets[1:].tolist(),
        answers,
        columns["probabilities"].tolist(),
        columns["versions"].tolist(),
        strict=True,
    )
    return [
        Record(images[start:end], answer, probability, version)
        for start, end, answer, probability, version in rows
    ]


def read_answers(path: Path) -> Answers:
    """What was answered to the predictions in a pack's file; its images are not read.

    Damage to the images goes unnoticed, and so would that of a figure which still makes sense: the
    digest is checked by whoever reads the whole.

    Raises:
        FileNotFoundError: There is no such file.
        BadPack: Damaged, cut off, or no such file at all.
    """
    with _no_other_fault(), safe_open(path, "numpy") as file:
        columns = {name: file.get_tensor(name) for name in ("head", "answers", "versions")}
        _check(file.keys(), columns)
    return Answers(_answered(columns), columns["versions"].tolist())


@contextmanager
def _no_other_fault() -> Iterator[None]:
    """What safetensors says of a damaged file, in a word of ours."""
    try:
        yield
    except (SafetensorError, KeyError, ValueError, TypeError) as fault:
        raise BadPack("this is not a pack: it is cut off or damaged") from fault


def _check(names: Iterable[str], columns: _Columns) -> None:
    """Raise BadPack unless the file has a pack's columns, and these are of their types."""
    if set(names) != _TYPES.keys():
        raise BadPack("this safetensors file is not a pack")
    if any(column.ndim != 1 or column.dtype != _TYPES[name] for name, column in columns.items()):
        raise BadPack("the pack's columns are not of their types")


def _answered(columns: _Columns) -> list[str]:
    """The label that was answered to each prediction."""
    labels, answers = _labels(columns["head"].tobytes()), columns["answers"]
    if len(columns["versions"]) != len(answers):
        raise BadPack("the pack's columns differ in length")
    if len(answers) and not 0 <= answers.min() <= answers.max() < len(labels):
        raise BadPack("the pack holds an answer that has no label")
    return [labels[answer] for answer in answers.tolist()]


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
