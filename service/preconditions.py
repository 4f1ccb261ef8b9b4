"""Strong ETags and their preconditions (RFC 9110, section 13)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header

from service.errors import PreconditionRequired
from store.errors import PreconditionFailed

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')


Revision = int | str  # a row's number, or the digest of bytes


def etag(revision: Revision) -> str:
    """The entity tag of what is at that revision."""
    return f'"{revision}"'


@dataclass(frozen=True)
class Preconditions:
    """What the caller says that it has seen.

    A change to what exists needs `If-Match` with the ETag that was read (`*`: whatever it is now);
    making what does not exist yet needs `If-None-Match: *`.
    """

    if_match: Annotated[str | None, Header(description="ETag of the state to change")] = None
    if_none_match: Annotated[
        str | None, Header(description="`*` to make it only if it is not there")
    ] = None

    def check(self, revision: int | None, what: str) -> None:
        """Judge a change to a row at `revision` (None: there is no row).

        Raises:
            PreconditionRequired: Nothing was said that could be judged.
            PreconditionFailed: What was seen is not what is there.
        """
        if self.if_match is not None:
            if revision is None or not _names(self.if_match, revision):
                now = "is not there" if revision is None else f"is at {etag(revision)} now"
                raise PreconditionFailed(f"{what} {now}; read it and decide anew")
            return
        if self.if_none_match is None:
            wanted = "If-None-Match: *" if revision is None else "If-Match with the ETag you read"
            raise PreconditionRequired(f"to change {what}, say {wanted}")
        if self.if_none_match.strip() != "*":
            raise PreconditionRequired(f"to change {what}, If-None-Match may only be *")
        if revision is not None:
            raise PreconditionFailed(f"{what} is there already, at {etag(revision)}")

    def unchanged(self, revision: Revision) -> bool:
        """Whether a reader has this state already (304)."""
        given = self.if_none_match
        return given is not None and _names(given, revision, weak=True)


def _names(header: str, revision: Revision, *, weak: bool = False) -> bool:
    if header.strip() == "*":
        return True
    tags = _TAG.findall(header)
    return any(tag == str(revision) and (weak or not prefix) for prefix, tag in tags)
