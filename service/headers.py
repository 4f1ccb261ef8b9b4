"""Headers that are read and sent by hand, as the OpenAPI document tells of them."""

from __future__ import annotations

from typing import Any

from service import deadline
from service.schemas.inference import JSON_LENGTH

TIMEOUT = deadline.HEADER
_TEXT, _NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}
_READ: dict[str, tuple[str, dict[str, Any]]] = {
    TIMEOUT: ("How long the client waits, in milliseconds; a 504 then", _NUMBER | {"minimum": 1}),
    JSON_LENGTH: ("How many bytes of the body are JSON; all of them unless said", _NUMBER),
    "Content-Encoding": ("The body is packed", {"enum": ["gzip", "deflate", "identity"]}),
    "Range": ("A part of the file, such as `bytes=0-1023`", _TEXT),
    "If-Range": ("The ETag of the file that the part is wanted of", _TEXT),
}
_SENT: dict[str, tuple[str, dict[str, Any]]] = {
    "ETag": ("What `If-Match` and `If-None-Match` name", _TEXT),
    "Location": ("Where it is found", _TEXT),
    "Retry-After": ("Seconds after which to ask again", _NUMBER),
    "WWW-Authenticate": ("`Bearer`: a key is to be sent", _TEXT),
    "RateLimit": ("What is left of the key's limit, and when it is whole again", _TEXT),
    "RateLimit-Policy": ("The key's limit: how many in how many seconds", _TEXT),
    "Content-Range": ("Which part this is, or how long the file is", _TEXT),
    "Content-Digest": ("sha-256 of this answer (RFC 9530)", _TEXT),
    "Repr-Digest": ("sha-256 of the whole file (RFC 9530)", _TEXT),
    "X-Model-Version": ("The version that answered", _NUMBER),
    "X-Model-Digest": ("sha256 of its weights", _TEXT),
    JSON_LENGTH: ("How many bytes of the answer are JSON, where tensors lie behind it", _NUMBER),
}
SIGNATURE = ("X-Model-Version", "X-Model-Digest")


def read(*names: str) -> list[dict[str, Any]]:
    """An operation's `parameters`."""
    return [
        {"name": name, "in": "header", "required": False, "description": words, "schema": schema}
        for name, (words, schema) in ((name, _READ[name]) for name in names)
    ]


def sent(*names: str) -> dict[str, Any]:
    """A response's `headers`, as a member to be joined with others."""
    return {
        "headers": {
            name: {"description": words, "schema": schema}
            for name, (words, schema) in ((name, _SENT[name]) for name in names)
        }
    }
