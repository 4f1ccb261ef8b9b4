"""Who is told of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote

from lure import shapes
from lure.calls.base import Calls

WEBHOOKS = "/v1/webhooks"


class WebhookCalls(Calls):
    """What an administrator can ask; the documents are as the service gives them."""

    def create_webhook(
        self,
        url: str,
        *,
        events: Sequence[str] | None = None,
        stream: str | None = None,
        secret: str | None = None,
        from_event: int | None = None,
    ) -> dict[str, Any]:
        """Has somebody told; the member `secret` of the answer signs, and is told this once.

        Args:
            url: where to call.
            events: names such as cycle.finished and chunk.*; all unless given.
            stream: the only one to tell of.
            secret: whsec_ and base64; one is made unless given.
            from_event: behind which event to begin; now unless given.
        """
        body = {
            "url": url,
            "events": None if events is None else list(events),
            "stream": stream,
            "secret": secret,
        }
        query = {} if from_event is None else {"from_event": from_event}
        made = self.http.json("POST", WEBHOOKS, json=body, params=query, idempotent=False)
        return cast(dict[str, Any], made)

    def webhooks(self) -> shapes.Page:
        """All webhooks, newest first."""
        return self.pages(WEBHOOKS)

    def pause_webhook(self, webhook_id: str, *, paused: bool) -> dict[str, Any]:
        """Has it wait, or go on where it stopped."""
        changed = self.http.json("PATCH", _path(webhook_id), json={"paused": paused})
        return cast(dict[str, Any], changed)

    def delete_webhook(self, webhook_id: str) -> None:
        """Has nobody told any more."""
        self.http.answer(lambda: self.http.client.build_request("DELETE", _path(webhook_id)))

    def try_webhook(self, webhook_id: str) -> dict[str, Any]:
        """Has a worker call it once; the member `test` tells what came of it."""
        path = f"{_path(webhook_id)}:test"
        return cast(dict[str, Any], self.http.json("POST", path, idempotent=False))


def _path(webhook_id: str) -> str:
    return f"{WEBHOOKS}/{quote(webhook_id, safe='')}"
