"""Webhooks as they are asked for and shown."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.params import NAME
from store.models import Webhook

_EVENT = Annotated[str, Field(max_length=64)]


class NewWebhook(BaseModel):
    """Who is to be told of what."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"url": "https://example.org/lure"},
                {
                    "url": "https://example.org/lure",
                    "events": ["cycle.finished", "gate.*"],
                    "stream": "digits",
                },
            ]
        },
    )

    url: str = Field(description="Where to POST; http or https, at a public address")
    events: list[_EVENT] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Names such as `cycle.finished`, or `chunk.*`; null: all",
    )
    stream: str | None = Field(
        None, pattern=NAME, description="The only stream to tell of; null: all, and what is of none"
    )
    secret: str | None = Field(
        None,
        max_length=128,
        description="`whsec_` and the base64 of 24 to 64 random bytes; null: one is made",
    )


class WebhookPatch(BaseModel):
    """What can be changed."""

    model_config = ConfigDict(extra="forbid")

    paused: bool = Field(description="true: nothing is told, and it waits; false: it goes on")


class PingShape(BaseModel):
    """A test call."""

    id: str = Field(description="Its `Webhook-Id`")
    at: dt.datetime | None = Field(description="When it was made; null: no worker has made it yet")
    status: int | None = Field(description="What was answered; null: nothing")
    error: str | None = Field(description="What went wrong; null: it was taken")


class WebhookShape(BaseModel):
    """Who is told of what, and how that goes."""

    id: str = Field(examples=["whk_3f9c2b71d04e8a6655aa"])
    url: str
    events: list[str] | None
    stream: str | None
    paused: bool
    after_event: int = Field(description="The id of the last event that needs no more telling")
    delivered: int = Field(description="Calls that were taken, over all its life")
    failed: int = Field(description="Calls that were not")
    failures: int = Field(description="Calls that failed in a row")
    next_try_at: dt.datetime
    last_status: int | None
    last_error: str | None
    last_success_at: dt.datetime | None
    test: PingShape | None
    created_by: str
    created_at: dt.datetime

    @classmethod
    def of(cls, row: Webhook) -> WebhookShape:
        """Everything but the secret."""
        ping = row.ping
        return cls(
            id=row.id,
            url=row.url,
            events=row.names,
            stream=row.stream,
            paused=row.is_paused,
            after_event=row.after_event,
            delivered=row.delivered,
            failed=row.failed,
            failures=row.failures,
            next_try_at=row.next_try_at,
            last_status=row.last_status,
            last_error=row.last_error,
            last_success_at=row.last_success_at,
            test=None
            if ping is None
            else PingShape(
                id=ping["id"],
                at=ping.get("at"),
                status=ping.get("status"),
                error=ping.get("error"),
            ),
            created_by=row.created_by,
            created_at=row.created_at,
        )


class MadeWebhook(WebhookShape):
    """A new one, with what it signs with."""

    secret: str = Field(description="Shown this once", examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZI"])

    @classmethod
    def made(cls, row: Webhook) -> MadeWebhook:
        return cls(**WebhookShape.of(row).model_dump(), secret=row.secret)
