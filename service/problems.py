"""Errors as `application/problem+json` (RFC 9457): every refusal of this service has this form."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from lure_core.errors import BadArchive
from service.errors import BY_STATUS, INTERNAL, TABLE, Fault, Invalid, Kind, ServiceError, kind_of
from service.params import WORDS

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:lure:problem:"
_MAX_DETAIL = 1000  # a message may quote what the client sent
_MAX_FAULTS = 50

log = structlog.get_logger(__name__)


def answer(
    scope: Scope,
    kind: Kind,
    detail: str,
    *,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem as a response."""
    body: dict[str, Any] = {
        "type": _TYPE + kind.slug,
        "title": kind.title,
        "status": int(kind.status),
        "detail": _bounded(kind.detail or detail),
        "instance": scope.get("path", ""),
        "trace_id": scope.get("trace_id"),
    }
    if f"{body['instance']}/".startswith("/v2/"):  # where clients of the protocol look for words
        body["error"] = body["detail"]
    if faults:
        body["errors"] = [
            {"pointer": fault.pointer, "detail": _bounded(fault.detail)}
            for fault in faults[:_MAX_FAULTS]
        ]
    sent = dict(headers or {})
    if kind.retry_after_s is not None:
        sent.setdefault("retry-after", str(kind.retry_after_s))
    # ASCII: a lone surrogate out of the client's own text must not fail the answer
    data = json.dumps(body, ensure_ascii=True).encode()
    return Response(data, int(kind.status), headers=sent, media_type=MEDIA_TYPE)


def internal(scope: Scope) -> Response:
    """Something failed that nobody foresaw; the log has it, the client does not."""
    return answer(scope, INTERNAL, "")


def install(app: FastAPI) -> None:
    """Tell every error of the table, and the framework's own, as problems."""
    for cls in TABLE:
        app.add_exception_handler(cls, _known)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)


async def _known(request: Request, error: Exception) -> Response:
    kind = kind_of(error)
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", error=str(error), exc_info=kind is INTERNAL)
    headers = error.headers if isinstance(error, ServiceError) else None
    return answer(request.scope, kind, str(error), faults=_faults_of(error), headers=headers)


def _faults_of(error: Exception) -> list[Fault]:
    if isinstance(error, Invalid):
        return error.faults
    if isinstance(error, BadArchive):
        words = f"{error.what}; {error.remedy}" if error.remedy else error.what
        return [Fault(error.where or "", words)]
    return []


async def _http(request: Request, error: Exception) -> Response:
    refusal = cast(HTTPException, error)
    kind = BY_STATUS.get(refusal.status_code, INTERNAL)
    detail = str(refusal.detail)
    if kind.status is HTTPStatus.NOT_FOUND:
        detail = f"there is nothing at {request.url.path}"
    elif kind.status is HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not possible on {request.url.path}"
    return answer(request.scope, kind, detail, headers=refusal.headers)


async def _validation(request: Request, error: Exception) -> Response:
    faults = [_fault(one) for one in cast(RequestValidationError, error).errors()]
    shown = f"{faults[0].pointer or 'the body'}: {faults[0].detail}"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    kind = dataclasses.replace(TABLE[Invalid], title="The request is not valid")
    return answer(request.scope, kind, shown + more, faults=faults)


def _fault(error: Mapping[str, Any]) -> Fault:
    """Pydantic's location as a JSON pointer; outside the body the parameter's name says where."""
    where, *rest = error["loc"] or ("body",)
    if error["type"] == "json_invalid":
        return Fault("", f"not valid JSON: {error.get('ctx', {}).get('error', 'unreadable')}")
    if where != "body":
        return Fault(f"{where}:{'/'.join(map(str, rest))}", _words(error))
    return Fault("".join(f"/{_escaped(str(step))}" for step in rest), _words(error))


def _words(error: Mapping[str, Any]) -> str:
    """Pydantic's words, but for our own patterns, which are to be read by machines."""
    meant = WORDS.get(error.get("ctx", {}).get("pattern"))
    return str(error["msg"]) if meant is None else f"Should be {meant}"


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _bounded(words: str) -> str:
    return words if len(words) <= _MAX_DETAIL else words[:_MAX_DETAIL] + "…"
