"""API keys, and what was done with them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote

from lure import shapes
from lure.calls.base import Calls

KEYS = "/v1/keys"


class AccessCalls(Calls):
    """What an administrator can ask; the documents are as the service gives them."""

    def create_key(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        stream: str | None = None,
        expires_at: datetime | None = None,
        requests_per_minute: int | None = None,
    ) -> dict[str, Any]:
        """Makes a key; the member `key` of the answer is its text, told this once.

        Args:
            name: who acts with it.
            scopes: some of ingest, predict, read, admin.
            stream: the only one that it opens.
            expires_at: until when, with its time zone.
            requests_per_minute: over all replicas.
        """
        body = {
            "name": name,
            "scopes": list(scopes),
            "stream": stream,
            "expires_at": expires_at.isoformat() if expires_at else None,
            "requests_per_minute": requests_per_minute,
        }
        return cast(dict[str, Any], self.http.json("POST", KEYS, json=body, idempotent=False))

    def keys(self) -> shapes.Page:
        """All keys, newest first, without their texts."""
        return self.pages(KEYS)

    def revoke_key(self, key_id: str) -> dict[str, Any]:
        """Ends a key for good."""
        path = f"{KEYS}/{quote(key_id, safe='')}"
        return cast(dict[str, Any], self.http.json("DELETE", path))

    def audit(
        self, *, stream: str | None = None, page_size: int = 50, page_token: str | None = None
    ) -> shapes.Page:
        """One page of what was changed and refused, newest first."""
        query = {"stream": stream, "page_size": page_size, "page_token": page_token}
        params = {name: value for name, value in query.items() if value is not None}
        return cast(shapes.Page, self.http.json("GET", "/v1/audit", params=params))
