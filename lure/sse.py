"""Server-sent events, read for as long as somebody listens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

IDLE_S = 2.0
PAUSE_S = 1.0


@dataclass(frozen=True)
class Event:
    """One event of the service; `data` has at least id, name, stream and at."""

    id: str
    name: str
    data: dict[str, Any]


def listen(client: httpx.Client, path: str) -> Iterator[Event | None]:
    """Events for ever, over lost connections; None for a moment without one.

    None comes with each heartbeat, after `IDLE_S` of silence, and in the place of events where the
    service gives none: who waits for something looks then for itself.
    """
    last_id = ""
    timeout = httpx.Timeout(IDLE_S)
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        begun = time.monotonic()
        try:
            with client.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.is_success:
                    for event in parse(response.iter_lines()):
                        last_id = event.id if event and event.id else last_id
                        yield event
        except httpx.TransportError:
            pass  # the next round connects again and goes on behind `last_id`
        yield None
        time.sleep(max(0.0, PAUSE_S - (time.monotonic() - begun)))


def parse(lines: Iterable[str]) -> Iterator[Event | None]:
    """Events out of the lines of a `text/event-stream`; None for a comment, the usual heartbeat."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            yield None
        elif line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields['data']}\n{value}" if name == "data" in fields else value
        elif "data" in fields:
            yield _event(fields)
            fields = {}


def _event(fields: dict[str, str]) -> Event | None:
    try:
        data = json.loads(fields["data"])
    except ValueError:
        return None
    known = data if isinstance(data, dict) else {}
    return Event(id=fields.get("id", ""), name=fields.get("event", "message"), data=known)
