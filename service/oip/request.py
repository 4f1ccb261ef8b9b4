"""An inference request taken apart: JSON, and behind it the bytes of the binary extension.

What is checked here is the form alone; `service.oip.images` asks whether the tensor holds images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.errors import Fault, Invalid

PROBABILITIES, LABEL = "probabilities", "label"
OUTPUTS = (PROBABILITIES, LABEL)
_MAX_RANK = 8


@dataclass(frozen=True)
class Tensor:
    """The input: either `data` as JSON had it, or the `raw` bytes of the binary extension."""

    pointer: str
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: Mapping[str, Any]
    data: list[Any] | None
    raw: memoryview | None


@dataclass(frozen=True)
class Output:
    """An output that is wanted: as bytes or in the JSON; the `classification` best ones only."""

    name: str
    binary: bool
    classification: int | None = None


@dataclass(frozen=True)
class Inference:
    """What a request asks for."""

    id: str | None
    tensor: Tensor
    outputs: Sequence[Output]
    timeout_s: float | None


def header_bytes(announced: str | None, body: bytes) -> int:
    """How much of the body is JSON: all, unless `Inference-Header-Content-Length` says less.

    Raises:
        Invalid: It is no number, or more than there is.
    """
    if announced is None:
        return len(body)
    if not (announced.isascii() and announced.isdecimal() and len(announced) < 20):
        raise _refused("header:inference-header-content-length", "is not a number of bytes")
    if int(announced) > len(body):
        words = f"says {announced} bytes of JSON; the body has {len(body)}"
        raise _refused("header:inference-header-content-length", words)
    return int(announced)


def parse(body: bytes, json_bytes: int) -> Inference:
    """Take a body apart; the first `json_bytes` of it are JSON.

    Raises:
        Invalid: It is no inference request.
    """
    try:
        content = json.loads(body[:json_bytes])
    except (ValueError, RecursionError) as error:
        raise _refused("", "is not valid JSON") from error
    if not isinstance(content, dict):
        raise _refused("", "must be an object with inputs")
    request_id = content.get("id")
    if not isinstance(request_id, str | None):
        raise _refused("/id", "must be a text")
    tensor = _tensor(_only_input(content), memoryview(body)[json_bytes:])
    parameters = _parameters(content, "")
    return Inference(request_id, tensor, _outputs(content, parameters), _timeout_s(parameters))


def _only_input(content: Mapping[str, Any]) -> Mapping[str, Any]:
    inputs = content.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise _refused("/inputs", "must be a list of one tensor")
    if not isinstance(inputs[0], dict):
        raise _refused("/inputs/0", "must be an object with name, shape, datatype and data")
    return inputs[0]


def _tensor(given: Mapping[str, Any], behind: memoryview) -> Tensor:
    pointer = "/inputs/0"
    for member in ("name", "datatype"):
        if not isinstance(given.get(member), str):
            raise _refused(f"{pointer}/{member}", "must be a text")
    parameters = _parameters(given, pointer)
    raw = _raw(parameters, behind, f"{pointer}/parameters/binary_data_size")
    data = given.get("data")
    if raw is None and not isinstance(data, list):
        raise _refused(f"{pointer}/data", "must be a list, or come as binary data")
    return Tensor(
        pointer=pointer,
        name=given["name"],
        datatype=given["datatype"],
        shape=_shape(given.get("shape"), f"{pointer}/shape"),
        parameters=parameters,
        data=data if raw is None else None,
        raw=raw,
    )


def _shape(given: Any, pointer: str) -> tuple[int, ...]:
    if not isinstance(given, list) or not 1 <= len(given) <= _MAX_RANK:
        raise _refused(pointer, f"must be a list of 1 to {_MAX_RANK} numbers")
    if not all(type(size) is int and 0 < size < 2**63 for size in given):
        raise _refused(pointer, "each dimension must be a whole number above 0")
    return tuple(given)


def _raw(parameters: Mapping[str, Any], behind: memoryview, pointer: str) -> memoryview | None:
    size = parameters.get("binary_data_size")
    if size is None and not behind:
        return None
    if type(size) is not int or size != len(behind):
        raise _refused(pointer, f"must be {len(behind)}: so many bytes follow the JSON")
    return behind


def _outputs(content: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[Output]:
    all_binary = _flag(parameters, "binary_data_output", "/parameters", default=False)
    given = content.get("outputs")
    if given is None or given == []:
        return [Output(name, all_binary) for name in OUTPUTS]
    if not isinstance(given, list) or len(given) > len(OUTPUTS):
        raise _refused("/outputs", f"must be a list of {' and '.join(OUTPUTS)}, each once at most")
    found: dict[str, Output] = {}
    for index, one in enumerate(given):
        pointer = f"/outputs/{index}"
        output = _output(one, pointer, all_binary=all_binary)
        if output.name in found:
            raise _refused(f"{pointer}/name", "is asked for twice")
        found[output.name] = output
    return list(found.values())


def _output(given: Any, pointer: str, *, all_binary: bool) -> Output:
    name = given.get("name") if isinstance(given, dict) else None
    if name not in OUTPUTS:
        raise _refused(f"{pointer}/name", f"must be {' or '.join(OUTPUTS)}")
    parameters = _parameters(given, pointer)
    binary = _flag(parameters, "binary_data", f"{pointer}/parameters", default=all_binary)
    best = parameters.get("classification")
    if best is None:
        return Output(name, binary)
    if name != PROBABILITIES or type(best) is not int or best < 1:
        words = f"must be a whole number above 0, and {PROBABILITIES} alone takes it"
        raise _refused(f"{pointer}/parameters/classification", words)
    return Output(name, binary, best)


def _parameters(given: Mapping[str, Any], pointer: str) -> Mapping[str, Any]:
    parameters = given.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise _refused(f"{pointer}/parameters", "must be an object")
    return parameters


def _timeout_s(parameters: Mapping[str, Any]) -> float | None:
    """How long the client waits; Triton has it in microseconds, and 0 is the server's own time."""
    timeout = parameters.get("timeout", 0)
    if type(timeout) is not int or not 0 <= timeout < 2**63:
        raise _refused("/parameters/timeout", "must be a whole number of microseconds")
    return timeout / 1e6 if timeout else None


def _flag(parameters: Mapping[str, Any], name: str, pointer: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise _refused(f"{pointer}/{name}", "must be true or false")
    return value


def _refused(pointer: str, words: str) -> Invalid:
    return Invalid(f"{pointer or 'the body'}: {words}", [Fault(pointer, words)])
