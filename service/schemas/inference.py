"""Inference requests and answers, as the OpenAPI document tells of them.

Only to be read: tensors are large, and `service.oip` goes through them once, without pydantic.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

JSON_LENGTH = "Inference-Header-Content-Length"
BINARY = {"type": "string", "format": "binary"}
_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
        "datatype": {"enum": ["UINT8", "FP32", "BYTES"]},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {}},
    },
}
_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": _TENSOR},
        "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    },
}
BODY: dict[str, Any] = {
    "required": True,
    "description": "JSON; or JSON and behind it binary tensors, its length in the header"
    f" `{JSON_LENGTH}`. `Content-Encoding` may be gzip or deflate.",
    "content": {
        "application/json": {
            "schema": _REQUEST,
            "example": {
                "id": "42",
                "inputs": [
                    {"name": "images", "shape": [1, 1, 2, 2], "datatype": "UINT8",
                     "data": [0, 17, 255, 3]}
                ],
                "outputs": [{"name": "probabilities", "parameters": {"classification": 3}}],
            },
        },
        "application/octet-stream": {"schema": BINARY},
    },
}  # fmt: skip


class InferAnswer(BaseModel):
    """`outputs` hold `data`, or `parameters.binary_data_size` of the bytes behind the JSON."""

    model_name: str
    model_version: str
    id: str = Field("", description="As the request had it; left out if it had none")
    parameters: dict[str, Any]
    outputs: list[dict[str, Any]]
