"""Images in the JSON that MLflow's and TensorFlow Serving's clients send.

Exactly one of `inputs`, `instances`, `dataframe_split` and `dataframe_records`. Each image is the
base64 of its file; or its pixels in nested lists, in the order [C,H,W] or [H,W,C]: whole numbers of
0 to 255, or, as soon as one of them all is written with a fraction, numbers of 0 to 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from lure_core.config import InputSpec
from service.errors import Fault, Invalid
from service.oip.forms import BYTES, FP32, UINT8
from service.oip.images import Pixels, images_of
from service.oip.request import Tensor

_MAX_RANK = 4


def read(body: bytes, spec: InputSpec, max_images: int) -> tuple[str, Pixels | list[bytes]]:
    """Where the images are, and they: pixels [N,C,H,W] in the model's shape, or N encoded ones.

    Raises:
        Invalid: The body holds neither.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid("the body is not valid JSON", [Fault("", "not valid JSON")]) from error
    named = [name for name in _CELLS if isinstance(content, dict) and name in content]
    if len(named) != 1:
        words = f"exactly one of {', '.join(_CELLS)} is needed"
        raise Invalid(f"the body: {words}", [Fault("", words)])
    pointer = f"/{named[0]}"
    cells = _CELLS[named[0]](content[named[0]])
    if not isinstance(cells, list) or not cells:
        words = "must hold images: base64 of their files, or pixels in nested lists"
        raise Invalid(f"{pointer}: {words}", [Fault(pointer, words)])
    tensor = _tensor([_only(cell) for cell in cells], pointer)
    try:
        return pointer, images_of(tensor, spec, max_images)
    except Invalid as error:  # in words of a tensor, which the client has not sent
        told = error.moved(f"{pointer}/data", pointer).moved(f"{pointer}/shape/0", pointer)
        raise told.moved(f"{pointer}/shape", pointer) from error


def _tensor(cells: list[Any], pointer: str) -> Tensor:
    shape, level = [len(cells)], cells
    while isinstance(level[0], list) and level[0] and len(shape) < _MAX_RANK:
        shape.append(len(level[0]))
        level = list(chain.from_iterable(one for one in level if isinstance(one, list)))
    numbers = FP32 if float in set(map(type, level)) else UINT8
    datatype = BYTES if isinstance(cells[0], str) else numbers
    return Tensor(pointer, "images", datatype, tuple(shape), {}, cells, None)


def _only(cell: Any) -> Any:
    """What a cell holds: itself, or the one value of an object such as `{"b64": …}`."""
    return next(iter(cell.values())) if isinstance(cell, dict) and len(cell) == 1 else cell


def _column(split: Any) -> Any:
    """The only column of a data frame, as pandas splits it."""
    rows = split.get("data") if isinstance(split, dict) else None
    if not isinstance(rows, list) or not all(isinstance(r, list) and len(r) == 1 for r in rows):
        words = "must have data of one column: the images"
        raise Invalid(f"/dataframe_split: {words}", [Fault("/dataframe_split/data", words)])
    return [row[0] for row in rows]


def _as_it_is(cells: Any) -> Any:
    return cells


_CELLS: Mapping[str, Callable[[Any], Any]] = {
    "inputs": _only,  # a list, or the one of an object of named tensors
    "instances": _as_it_is,
    "dataframe_split": _column,
    "dataframe_records": _as_it_is,
}
