"""From a request's tensor to what a model is asked about: pixels as they are, or encoded images.

Floats become the uint8 pixels that they were made of, by rounding: predictions of them go the one
way that all others go.
"""

from __future__ import annotations

import base64
import math
import struct
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
    values = _numbers(tensor, kinds={int}, words="whole numbers of 0 to 255")
    try:
        return np.array(values, np.uint8).reshape(tensor.shape)
    except OverflowError as error:
        at = next(at for at, value in enumerate(values) if not 0 <= value <= 255)
        raise _out_of_range(tensor, at, values[at], 255) from error


def _from_floats(tensor: Tensor) -> Pixels:
    if tensor.raw is not None:
        values = _viewed(tensor, tensor.raw, np.dtype("<f4"))
    else:
        numbers = _numbers(tensor, kinds={int, float}, words="numbers of 0 to 1")
        try:
            values = np.array(numbers, np.float32).reshape(tensor.shape)
        except OverflowError as error:  # a whole number that no float can hold
            at = next(at for at, value in enumerate(numbers) if not 0 <= value <= 1)
            raise _out_of_range(tensor, at, numbers[at], 1) from error
    if not (values.min() >= 0 and values.max() <= 1):  # neither holds of what is not a number
        at = int(np.argmin((values >= 0) & (values <= 1)))
        raise _out_of_range(tensor, at, values.flat[at], 1)
    return np.rint(values * np.float32(255)).astype(np.uint8)


def _viewed(tensor: Tensor, raw: memoryview, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The bytes as an array, not copied."""
    wanted = math.prod(tensor.shape) * np.dtype(dtype).itemsize
    if len(raw) != wanted:
        words = f"a {tensor.datatype} tensor {list(tensor.shape)} has {wanted} bytes"
        pointer = f"{tensor.pointer}/parameters/binary_data_size"
        raise Invalid(f"{words}, not {len(raw)}", [Fault(pointer, f"{words}, not {len(raw)}")])
    return np.frombuffer(raw, dtype).reshape(tensor.shape)


def _numbers(tensor: Tensor, *, kinds: set[type], words: str) -> list[Any]:
    """JSON's numbers in a row, whether they are nested as the shape says, or flat."""
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
    if not set(map(type, values)) <= kinds:
        at = next(at for at, value in enumerate(values) if type(value) not in kinds)
        raise _refused(f"{pointer}/{at}", f"must be one of {words}")
    return values


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
