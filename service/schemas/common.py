"""What the shapes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from pydantic import BaseModel, Field

from store import pages

Item = TypeVar("Item")
Row = TypeVar("Row")


class Page(BaseModel, Generic[Item]):
    """Some items, newest first."""

    items: list[Item]
    next_page_token: str | None = Field(description="Where the next page begins; null at the end")


def page_of(rows: pages.Page[Row], shape: Callable[[Row], Item]) -> Page[Item]:
    """The rows in their shape, and the token to go on with."""
    token = None if rows.next_key is None else str(rows.next_key)
    return Page(items=[shape(row) for row in rows.items], next_page_token=token)


def spelled(digest: str) -> str:
    """A digest as the API spells it."""
    return f"sha256:{digest}"


class FaultShape(BaseModel):
    """One thing that is wrong."""

    pointer: str = Field(description="JSON pointer into the body; elsewhere the place's name")
    detail: str


class Problem(BaseModel):
    """RFC 9457: every refusal."""

    type: str = Field(examples=["urn:lure:problem:not-found"])
    title: str
    status: int
    detail: str
    instance: str
    trace_id: str | None
    errors: list[FaultShape] = []
