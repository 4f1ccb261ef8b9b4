"""Whether what the service answers is what its OpenAPI document says."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.routing import compile_path

HEADERS = ("etag", "location", "retry-after", "x-model-version", "content-range")
ANYWHERE = (HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR)  # a body cut off; a defect


Paths = list[tuple[re.Pattern[str], dict[str, Any]]]

_of_all: Paths = []  # making it takes longer than starting an app, and no setting changes it


def paths_of(app: FastAPI) -> Paths:
    """The operations of the first app that was asked, which are those of all."""
    if not _of_all:
        for path, operations in app.openapi()["paths"].items():
            _of_all.append((compile_path(path)[0], operations))
    return _of_all


class Declared:
    """A hook of httpx: each answer of an operation is one that the document knows."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def __call__(self, answer: httpx.Response) -> None:
        operation = self._operation(answer.request)
        if operation is None or answer.status_code in ANYWHERE:
            return
        what = f"{operation['operationId']}: {answer.status_code}"
        assert str(answer.status_code) in operation["responses"], f"{what} is not declared"
        told = operation["responses"][str(answer.status_code)]
        if kind := answer.headers.get("content-type", "").partition(";")[0]:
            assert kind in told.get("content", {}), f"{what}, {kind} is not declared"
        known = {name.lower() for name in told.get("headers", {})}
        for name in HEADERS:
            assert name not in answer.headers or name in known, f"{what}, {name} is not declared"

    def _operation(self, request: httpx.Request) -> dict[str, Any] | None:
        """What the document says of the operation that was asked for; None: it tells nothing."""
        for path, operations in paths_of(self._app):
            if path.fullmatch(request.url.path) and request.method.lower() in operations:
                operation: dict[str, Any] = operations[request.method.lower()]
                return operation
        return None
