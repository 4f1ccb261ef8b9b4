"""What the OpenAPI document says about refusals: one schema, and an example for each."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.constants import REF_TEMPLATE
from pydantic import BaseModel

from lure_core.errors import BadArchive
from service import problems
from service.errors import (
    TABLE,
    DiskFull,
    EmptyBody,
    Forbidden,
    Gone,
    Invalid,
    ModelAway,
    NothingServed,
    Overloaded,
    PreconditionRequired,
    QuotaUsedUp,
    RangeNotSatisfiable,
    TooLarge,
    TooLate,
    TooMany,
    TooSlow,
    Unauthenticated,
    UnsupportedMediaType,
    WrongDigest,
)
from service.headers import sent
from service.schemas.common import Problem
from store.errors import (
    AlreadyExists,
    Conflict,
    DatabaseAway,
    KeyReused,
    NotFound,
    PreconditionFailed,
)

Responses = dict[int | str, dict[str, Any]]

_DETAIL: dict[type[Exception], str] = {
    NotFound: "there is no stream digits",
    AlreadyExists: "a stream named 'digits' exists already",
    Conflict: "a chunk that is learned cannot become admitted",
    PreconditionFailed: "alias champion changed since you read it; read it and decide anew",
    PreconditionRequired: "say which state you mean: If-Match with the ETag that you have read",
    KeyReused: "idempotency key 'k-17' was used with another payload before",
    RangeNotSatisfiable: "the file ends before that: it has 1119472 bytes",
    Invalid: "/recipe/epochs: recipe.epochs must lie between 1 and 10000, not 0",
    BadArchive: "../../etc/passwd: the name leaves the archive; pack the class folders themselves",
    UnsupportedMediaType: "a chunk is sent as application/zip or application/x-npz, not text/plain",
    TooLarge: "a chunk may have 2147483648 bytes",
    TooLate: "there was no answer within 0.2 s",
    TooSlow: "nothing came for 30 s",
    WrongDigest: "the body's sha-256 is not the one in Content-Digest",
    EmptyBody: "there is no image in the body",
    Unauthenticated: "this needs an API key: send the header `Authorization: Bearer lure_…`",
    Forbidden: "this needs a key with the scope admin; key camera-7 has not",
    TooMany: "key camera-7 may make 600 requests in a minute",
    Gone: "the weights of version 3 were deleted; its record stays",
    NothingServed: "stream digits has no version yet; send it a chunk",
    Overloaded: "256 predictions wait already",
    ModelAway: "version 3 cannot be loaded now",
    DiskFull: "too little disk space is left for this upload",
    QuotaUsedUp: "the quota of stream digits (policies.quota.max_bytes) is 1000000000 bytes,"
    " 999000000 are used and this upload takes 2000000 at least; PATCH the stream to raise it",
}

_PROBLEM = {"$ref": REF_TEMPLATE.format(model="Problem")}
JSON_BODY = (TooSlow, TooLarge, UnsupportedMediaType)  # of every `service.bounded.JsonRoute`


def refusals(*errors: type[Exception], **others: dict[str, Any]) -> Responses:
    """The `responses` of an endpoint that may refuse with these errors, beside the usual ones.

    Answers of another kind are named by their status: `_304={"description": …}`.
    """
    found: Responses = {int(status.strip("_")): deepcopy(told) for status, told in others.items()}
    for error in (*errors, Invalid, DatabaseAway):
        kind = TABLE[error]
        # HTTPStatus.phrase differs between versions of Python
        response = found.setdefault(int(kind.status), {"description": kind.title})
        problem = response.setdefault("content", {}).setdefault(
            problems.MEDIA_TYPE, {"schema": _PROBLEM, "examples": {}}
        )
        example = {
            "type": f"urn:lure:problem:{kind.slug}",
            "title": kind.title,
            "status": int(kind.status),
            "detail": kind.detail or _DETAIL.get(error, kind.title),
            "instance": "/v1/streams/digits",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
        }
        problem["examples"][kind.slug] = {"value": example}
        if kind.retry_after_s is not None:
            response |= sent("Retry-After")
        if error is Unauthenticated:
            response |= sent("WWW-Authenticate")
        if error is TooMany:
            response |= sent("Retry-After", "RateLimit", "RateLimit-Policy")
        if error is RangeNotSatisfiable:
            response |= sent("Content-Range")
    return found


def unready(told: BaseModel) -> dict[str, Any]:
    """A 503 that is no problem: what a probe is told while something is away."""
    return {
        "model": type(told),
        "description": "It cannot be asked at present",
        "content": {"application/json": {"example": told.model_dump()}},
        **sent("Retry-After"),
    }


def install(app: FastAPI) -> None:
    """Put the problem's schema into the document in the place of FastAPI's own errors."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document["components"]["schemas"]
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        problem = Problem.model_json_schema(ref_template=REF_TEMPLATE)
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        usual = refusals()
        for path in document["paths"].values():
            for operation in path.values():
                _mend(operation["responses"], usual)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _mend(responses: dict[str, Any], usual: Responses) -> None:
    """FastAPI adds its own 422 where an endpoint says nothing of it."""
    own = responses.get("422", {}).get("content", {})
    if "422" in responses and problems.MEDIA_TYPE not in own:
        responses["422"] = usual[422]
