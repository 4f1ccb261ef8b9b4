"""What the OpenAPI document says of keys: the scheme, and the scopes of each operation."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from fastapi import FastAPI

from service.access import needs
from service.access.needs import Need
from service.errors import Forbidden, TooMany, Unauthenticated
from service.openapi import refusals
from store.keys import ADMIN

SCHEME = "key"
SCOPES = "x-lure-scopes"
_DESCRIPTION = (
    "`Authorization: Bearer lure_…`. An operation needs one of the scopes that are named with it;"
    " `admin` opens everything. A key may be bound to one stream. A service on loopback for which"
    " no key was ever made is open."
)


def install(app: FastAPI) -> None:
    """Put them into the document; to be called behind `service.openapi.install`."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document["components"]["securitySchemes"] = {
            SCHEME: {"type": "http", "scheme": "bearer", "description": _DESCRIPTION}
        }
        for path in document["paths"].values():
            for operation in path.values():
                _describe(operation, needs.of(operation["operationId"]))
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _describe(operation: dict[str, Any], need: Need) -> None:
    operation[SCOPES] = list(need.scopes)
    if need.is_open:
        operation["security"] = []
        return
    # any of them is enough; OpenAPI 3.1 lets other schemes than OAuth name roles too
    operation["security"] = [{SCHEME: [scope]} for scope in dict.fromkeys((*need.scopes, ADMIN))]
    answers = operation["responses"]
    for status, told in refusals(Unauthenticated, Forbidden, TooMany).items():
        answers.setdefault(str(status), deepcopy(told))
