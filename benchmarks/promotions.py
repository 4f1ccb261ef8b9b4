"""Promotions one after the other, each until every replica serves it, timed by the database."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import httpx
import psycopg

SERVED_S = 30.0
_POLL_S = 0.02
_EVENTS = (
    "SELECT id, (data->>'version')::int, data->>'replica', extract(epoch FROM at)::float"
    " FROM events WHERE id > %s AND (name = 'model.swapped'"
    " OR name = 'alias.moved' AND data->>'alias' = 'champion') ORDER BY id"
)


class Unserved(RuntimeError):
    """A promotion did not reach every replica."""


@dataclass(frozen=True)
class Event:
    """The champion was moved to a version, or a replica reports that it serves it."""

    id: int
    version: int
    replica: str | None  # None: it was moved
    at: float  # seconds, by the database's clock


def seconds(events: Iterable[Event], version: int, *, replicas: int) -> float | None:
    """From the promotion of that version to the last replica's report; None before that came."""
    moved_at: float | None = None
    reported: dict[str, float] = {}
    for event in events:
        if event.version != version:
            continue
        if event.replica is None:
            moved_at = event.at
        elif moved_at is not None:
            reported[event.replica] = event.at
    if moved_at is None or len(reported) < replicas:
        return None
    return max(reported.values()) - moved_at


class Promoter:
    """Gives every version of a stream its turn as champion.

    Args:
        api: An API of the service.
        database: A connection to its database that commits by itself.
        stream: With versions 1 to `versions`, of which the last is served.
        replicas: How many serve it.
    """

    def __init__(
        self,
        api: httpx.Client,
        database: psycopg.Connection,
        *,
        stream: str,
        versions: int,
        replicas: int,
    ) -> None:
        self._api, self._database = api, database
        self._path = f"/v1/streams/{stream}/aliases/champion"
        self._versions, self._replicas = versions, replicas
        self._champion = versions
        self._last_id = 0

    def until(self, ends: float, *, every_s: float) -> list[float]:
        """Promote at that pace, or slower: no sooner than all serve the one before.

        Returns:
            Seconds of each from the promotion to the last replica's report.

        Raises:
            httpx.HTTPError: A promotion failed.
            Unserved: A replica did not serve one within `SERVED_S`.
        """
        found, due = [], time.monotonic()
        while max(due, time.monotonic()) < ends:
            time.sleep(max(0.0, due - time.monotonic()))
            found.append(self._promote())
            due += every_s
        return found

    def _promote(self) -> float:
        self._news()
        self._champion = self._champion % self._versions + 1
        wish = {"version": self._champion, "hold": False}
        self._api.put(self._path, json=wish, headers={"If-Match": "*"}).raise_for_status()
        gives_up = time.monotonic() + SERVED_S
        seen: list[Event] = []
        while time.monotonic() < gives_up:
            seen += self._news()
            taken_s = seconds(seen, self._champion, replicas=self._replicas)
            if taken_s is not None:
                return taken_s
            time.sleep(_POLL_S)
        raise Unserved(f"version {self._champion} is not served everywhere after {SERVED_S:g} s")

    def _news(self) -> list[Event]:
        rows = self._database.execute(_EVENTS, (self._last_id,))
        found = [Event(*row) for row in rows]
        self._last_id = found[-1].id if found else self._last_id
        return found
