"""From a request's tensor to what a model is asked about: pixels as they are, or encoded images.

Floats become the uint8 pixels that they were made of, by rounding: predictions of them go the one
way that all others go.
"""

from __future__ import annotations

import base64
import math
import struct
from array import array
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from lure_core.config import InputSpec
from service.errors import Fault, Invalid
from service.oip.forms import BYTES, FP32, form_of
from service.oip.request import Tensor

Pixels = npt.NDArray[np.uint8]

_LENGTH = struct.Struct("<I")  # before each element of a binary BYTES tensor


def images_of(tensor: Tensor, spec: InputSpec, max_images: int) -> Pixels | list[bytes]:
    """Pixels [N,C,H,W] in the model's shape, or N encoded images.

    Raises:
        Invalid: The tensor holds neither, or too many.
    """
    form = form_of(tensor, spec)
    count = tensor.shape[0]
    if count > max_images:
        words = f"{count} images; one request may have {max_images}"
        raise Invalid(words, [Fault(f"{tensor.pointer}/shape/0", words)])
    if form.datatype == BYTES:
        return _encoded(tensor, count)
    pixels = _from_floats(tensor) if form.datatype == FP32 else _from_bytes(tensor)
    return pixels if form.axes == "CHW" else pixels.transpose(0, 3, 1, 2)


def weight_bytes(tensor: Tensor) -> int:
    """How many bytes `images_of` has to go through one by one; raw uint8 is taken as it lies."""
    if tensor.raw is None:
        return 4 * math.prod(tensor.shape)
    return len(tensor.raw) if tensor.datatype == FP32 else 0


def _from_bytes(tensor: Tensor) -> Pixels:
    if tensor.raw is not None:
        return _viewed(tensor, tensor.raw, np.uint8)
    values = _numbers(tensor)
    try:  # nine times as fast as by an array, and JSON's numbers are many
        return np.frombuffer(bytes(_no_booleans(values)), np.uint8).reshape(tensor.shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise _first_fault(tensor, values, (int,), 255) from error


def _from_floats(tensor: Tensor) -> Pixels:
    if tensor.raw is not None:
        values = _viewed(tensor, tensor.raw, np.dtype("<f4"))
        if not _within_0_and_1(values):
            at = int(np.argmin((values >= 0) & (values <= 1)))
            raise _out_of_range(tensor, at, values.flat[at], 1)
    else:
        numbers = _numbers(tensor)
        try:
            plain = array("f", _no_booleans(numbers))
            values = np.frombuffer(plain, np.float32).reshape(tensor.shape)
        except (TypeError, OverflowError) as error:
            raise _first_fault(tensor, numbers, (int, float), 1) from error
        if not _within_0_and_1(values):
            raise _first_fault(tensor, numbers, (int, float), 1)
    return np.rint(values * np.float32(255)).astype(np.uint8)


def _within_0_and_1(values: npt.NDArray[np.float32]) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1)  # neither holds of what is not a number


def _viewed(tensor: Tensor, raw: memoryview, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The bytes as an array, not copied."""
    wanted = math.prod(tensor.shape) * np.dtype(dtype).itemsize
    if len(raw) != wanted:
        words = f"a {tensor.datatype} tensor {list(tensor.shape)} has {wanted} bytes"
        pointer = f"{tensor.pointer}/parameters/binary_data_size"
        raise Invalid(f"{words}, not {len(raw)}", [Fault(pointer, f"{words}, not {len(raw)}")])
    return np.frombuffer(raw, dtype).reshape(tensor.shape)


def _numbers(tensor: Tensor) -> list[Any]:
    """JSON's values in a row, whether they are nested as the shape says, or flat."""
    assert tensor.data is not None
    pointer = f"{tensor.pointer}/data"
    values = tensor.data
    if values and isinstance(values[0], list):
        for size in tensor.shape[1:]:
            if not all(isinstance(one, list) and len(one) == size for one in values):
                raise _refused(pointer, f"is not nested as {list(tensor.shape)}")
            values = list(chain.from_iterable(values))
    if len(values) != math.prod(tensor.shape):
        raise _refused(pointer, f"has {len(values)} values, not those of {list(tensor.shape)}")
    return values


def _no_booleans(values: list[Any]) -> list[Any]:
    """The values themselves; bytes and arrays would take JSON's booleans for 0 and 1.

    Raises:
        TypeError: One of them is true or false.
    """
    if bool in set(map(type, values)):
        raise TypeError("a boolean is no number")
    return values


def _first_fault(
    tensor: Tensor, values: Sequence[Any], kinds: tuple[type, ...], most: int
) -> Invalid:
    """The refusal of the first value that is no such number, or out of its range."""
    for at, value in enumerate(values):
        if type(value) not in kinds:
            words = "must be a whole number" if kinds == (int,) else "must be a number"
            return _refused(f"{tensor.pointer}/data/{at}", f"{words} of 0 to {most}")
        if not 0 <= value <= most:
            return _out_of_range(tensor, at, value, most)
    raise AssertionError("a value was refused, and none is at fault")


def _out_of_range(tensor: Tensor, at: int, value: object, most: int) -> Invalid:
    place = [int(step) for step in np.unravel_index(at, tensor.shape)]
    words = f"{value!s:.40} at {place} is not within 0 and {most}"
    return _refused(f"{tensor.pointer}/data/{at}", words)


def _encoded(tensor: Tensor, count: int) -> list[bytes]:
    """The images' files; text, and what says that it is, is base64."""
    pointer = f"{tensor.pointer}/data"
    raw = tensor.raw
    elements = _column(tensor.data or []) if raw is None else _split(raw, pointer)
    if len(elements) != count:
        raise _refused(pointer, f"has {len(elements)} elements; the shape says {count}")
    if raw is not None and tensor.parameters.get("content_type") != "base64":
        return elements
    found, faults = [], []
    for index, text in enumerate(elements):
        try:
            found.append(base64.b64decode(text, validate=True))
        except (ValueError, TypeError):  # a character that is none of its own, or not a text
            faults.append(Fault(f"{pointer}/{index}", "this is not base64"))
    if faults:
        raise Invalid(f"{len(faults)} of {count} images are not base64", faults)
    return found


def _column(data: list[Any]) -> list[Any]:
    """The elements of a list, or of a list of lists of one."""
    return [one[0] if isinstance(one, list) and len(one) == 1 else one for one in data]


def _split(raw: memoryview, pointer: str) -> list[bytes]:
    """The elements of a binary BYTES tensor: each behind its length in four bytes."""
    elements: list[bytes] = []
    at = 0
    while at < len(raw):
        begin = at + _LENGTH.size
        end = begin + _LENGTH.unpack_from(raw, at)[0] if begin <= len(raw) else begin
        if end > len(raw):
            words = f"goes beyond the {len(raw)} bytes that there are"
            raise _refused(f"{pointer}/{len(elements)}", words)
        elements.append(bytes(raw[begin:end]))
        at = end
    return elements


def _refused(pointer: str, words: str) -> Invalid:
    return Invalid(f"{pointer}: {words}", [Fault(pointer, words)])
