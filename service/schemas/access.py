"""Keys and the audit log."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from service.params import NAME
from store.models import ApiKey, AuditEntry

# as wide as a person's or a machine's name; a line of the log is one line
KeyName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
Scope = Literal["admin", "ingest", "metrics", "predict", "read"]


class NewKeyWish(BaseModel):
    """What a key is to be."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "camera-7", "scopes": ["predict"], "stream": "digits"}]
        },
    )

    name: KeyName = Field(description="Who acts with it, in histories and in the audit log")
    scopes: list[Scope] = Field(min_length=1, max_length=5, description="`admin` opens everything")
    stream: Annotated[str, Field(pattern=NAME)] | None = Field(
        None, description="The only stream that it opens; it need not be there yet"
    )
    expires_at: AwareDatetime | None = Field(None, description="Null: until it is revoked")
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = Field(
        None, description="Over all replicas; null: as the service's settings say"
    )


class KeyShape(BaseModel):
    """A key's record."""

    id: str
    name: str
    hint: str = Field(description="The key's first characters")
    scopes: list[str]
    stream: str | None
    requests_per_minute: int | None
    created_by: str
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None = Field(description="Written down some seconds later")

    @classmethod
    def of(cls, row: ApiKey) -> KeyShape:
        return cls(**_fields(row))


class NewKeyShape(KeyShape):
    """A new key: the only answer that tells its text."""

    key: str = Field(description="Keep it; it is not shown again", examples=["lure_…"])

    @classmethod
    def made(cls, row: ApiKey, text: str) -> NewKeyShape:
        return cls(**_fields(row), key=text)


class AuditShape(BaseModel):
    """Something that was asked for."""

    at: dt.datetime
    who: str
    key_id: str | None = Field(description="Null: no key was needed")
    action: str = Field(description="The operation's name", examples=["rollback_alias"])
    stream: str | None
    target: str = Field(description="The path")
    status: int
    request_id: str
    address: str | None
    data: dict[str, Any] | None

    @classmethod
    def of(cls, row: AuditEntry) -> AuditShape:
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


def _fields(row: ApiKey) -> dict[str, Any]:
    return {name: getattr(row, name) for name in KeyShape.model_fields}
