"""Parameters that many endpoints share; what PostgreSQL cannot store fits none of the patterns."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
POINTED = r"^([0-9]{1,9}|@[a-z0-9][a-z0-9_-]{0,62})$"
ID = r"^[A-Za-z0-9_]{1,64}$"
_PAGE = r"^[0-9]{1,18}$"
WORDS = {  # what a pattern means, for whoever missed it
    NAME: "lower-case letters, digits, - and _, at most 63, the first a letter or a digit",
    POINTED: "a number, or @ and an alias",
    ID: "letters, digits and _, at most 64",
    _PAGE: "the next_page_token of the page before",
}
_MAX_INT = 2**31 - 1

StreamName = Annotated[str, Path(pattern=NAME, description="The stream's name")]
AliasName = Annotated[str, Path(pattern=NAME, description="The alias's name")]
ChunkId = Annotated[str, Path(pattern=ID, description="The chunk's id")]
CycleId = Annotated[str, Path(pattern=ID, description="The cycle's id")]
RerunId = Annotated[str, Path(pattern=ID, description="The rerun's id")]
VersionNumber = Annotated[int, Path(ge=1, le=_MAX_INT, description="The version")]
VersionOrAlias = Annotated[
    str, Path(pattern=POINTED, description="A version's number, or `@` and an alias")
]
PageSize = Annotated[int, Query(ge=1, le=500, description="Most items in one page")]
PageToken = Annotated[
    str | None,
    Query(pattern=_PAGE, description="`next_page_token` of the page before"),
]


def key_of(token: str | None) -> int | None:
    """The sort key that a page token stands for."""
    return None if token is None else int(token)


def number_of(token: str | None) -> int | None:
    """The same where rows are sorted by a 32-bit number: all of them lie below what is beyond."""
    key = key_of(token)
    return None if key is None else min(key, _MAX_INT)
