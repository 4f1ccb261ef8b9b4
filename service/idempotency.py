"""`Idempotency-Key`: the first answer, again; see decision 0010."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header
from starlette.responses import JSONResponse

from service.errors import Fault, Invalid
from store.models import Answer

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def _key(
    idempotency_key: Annotated[
        str | None,
        Header(description="Any text of 1 to 255 visible characters, bare or in quotes"),
    ] = None,
) -> str | None:
    if idempotency_key is None:
        return None
    key = idempotency_key.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.fullmatch(key):
        words = "must have 1 to 255 visible characters"
        raise Invalid(f"Idempotency-Key {words}", [Fault("header:idempotency-key", words)])
    return key


KeyDep = Annotated[str | None, Depends(_key)]


def response(answer: Answer, *, replayed: bool) -> JSONResponse:
    """The answer over HTTP; `Idempotency-Replayed` says that nothing was done for it."""
    headers = {"location": answer.location}
    if replayed:
        headers["idempotency-replayed"] = "true"
    return JSONResponse(answer.body, answer.status, headers)
