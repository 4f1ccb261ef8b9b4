"""Aliases and their moves."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from store.models import Alias, AliasMove

# no control characters: PostgreSQL stores no NUL, and a log line is one line
Reason = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


class AliasMoveWish(BaseModel):
    """Where an alias is to point."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"version": 3, "reason": "better on the night shift"}]},
    )

    version: Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
    reason: Reason = ""
    hold: Annotated[bool, Field(strict=True)] | None = Field(
        None,
        description="Bar automatic promotion, which moves champion alone; by default where the gate"
        " promotes",
    )


class Why(BaseModel):
    """The reason that goes into the history."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = ""


class AliasShape(BaseModel):
    """A name that points at a version."""

    alias: str
    stream: str
    version: int
    hold: bool = Field(description="Automatic promotion is barred until released")
    updated_at: dt.datetime

    @classmethod
    def of(cls, alias: Alias, stream: str) -> AliasShape:
        return cls(
            alias=alias.name,
            stream=stream,
            version=alias.version,
            hold=alias.hold,
            updated_at=alias.updated_at,
        )


class MoveShape(BaseModel):
    """One move; history is never rewritten."""

    from_version: int | None
    to_version: int | None = Field(description="null: the alias was deleted")
    hold: bool
    who: str
    reason: str
    at: dt.datetime

    @classmethod
    def of(cls, move: AliasMove) -> MoveShape:
        return cls(
            from_version=move.from_version,
            to_version=move.to_version,
            hold=move.hold,
            who=move.who,
            reason=move.reason,
            at=move.at,
        )
