"""Reads the pickles in which CIFAR is published, and nothing that a pickle could do beyond that.

Known are numbers, text, bytes, lists, tuples, dicts and uint8 arrays of NumPy, as Python 2 and 3
and NumPy 1 and 2 write them. Everything else is refused before it is called. NumPy's own functions
are not called either: what stands for them here checks what it is given.

Source: "Restricting globals", https://docs.python.org/3/library/pickle.html
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from lure_core.errors import CoreError


class BadPickle(CoreError):
    """A pickle that is damaged, or holds more than plain data."""


class _Array:
    """An array to be: made empty, then filled by pickle with its state."""

    __slots__ = ("values",)

    values: npt.NDArray[np.uint8]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype):
            _refuse("an array of unknown type")
        self.values = _shaped(data, tuple(shape), "F" if fortran else "C")


class _Dtype:
    """The one type of array that is known: unsigned bytes."""

    __slots__ = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if any(part is not None for part in state[2:5]):
            _refuse("an array with fields")


class _Ndarray:
    """Stands for `numpy.ndarray`, which is named but never called."""

    __slots__ = ()


class _Reconstruct:
    __slots__ = ()

    def __call__(self, kind: Any, _shape: Any, _typecode: Any) -> _Array:
        if not isinstance(kind, _Ndarray):
            _refuse("an array of a class of its own")
        return _Array()


class _MakeDtype:
    __slots__ = ()

    def __call__(self, name: Any, *_: Any) -> _Dtype:
        if name not in ("u1", b"u1"):
            _refuse(f"an array of {name!r}, not of unsigned bytes")
        return _Dtype()


class _FromBuffer:
    __slots__ = ()

    def __call__(self, data: Any, dtype: Any, shape: Any, order: Any) -> npt.NDArray[np.uint8]:
        if not isinstance(dtype, _Dtype):
            _refuse("an array of unknown type")
        return _shaped(data, tuple(shape), order)


class _Encode:
    __slots__ = ()

    def __call__(self, text: Any, encoding: Any) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            _refuse(f"text encoded as {encoding!r}")
        return text.encode("latin1")


# Objects without attributes, not functions: there is nothing on them that a pickle could change.
_KNOWN = {
    ("numpy", "ndarray"): _Ndarray(),
    ("numpy", "dtype"): _MakeDtype(),
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer(),
    ("numpy._core.numeric", "_frombuffer"): _FromBuffer(),
    ("_codecs", "encode"): _Encode(),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            _refuse(f"{module}.{name}")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> NoReturn:
        _refuse(f"a reference to something elsewhere, {pid!r}")


def read(path: Path) -> dict[str, Any]:
    """The dict in a pickle; its keys as text, its bytes as bytes, its arrays uint8.

    Raises:
        BadPickle: The file is damaged, is no dict, or holds anything beside plain data.
    """
    try:
        with path.open("rb") as file:
            found = _Unpickler(file, encoding="bytes").load()
    except BadPickle as fault:
        raise BadPickle(f"{path}: {fault}") from fault
    except OSError:
        raise
    except Exception as fault:  # damaged pickles make Python raise nearly anything
        raise BadPickle(f"{path} is damaged: {fault!r}") from fault
    if not isinstance(found, dict):
        raise BadPickle(f"{path} holds no dict")
    return {_text(key): _plain(value) for key, value in found.items()}


def _text(key: Any) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


def _plain(value: Any) -> Any:
    return value.values if isinstance(value, _Array) else value


def _shaped(data: Any, shape: tuple[int, ...], order: Any) -> npt.NDArray[np.uint8]:
    if not isinstance(data, (bytes, bytearray)) or len(data) != math.prod(shape):
        _refuse("an array of another length than its shape says")
    flat = np.frombuffer(bytes(data), np.uint8)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _refuse(what: str) -> NoReturn:
    raise BadPickle(f"holds {what}; only plain data and arrays of bytes are read")
