"""A wake-up call over Redis: names of events that have just become visible.

Best effort on both sides: who listens also polls, and who rings never waits for an answer.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator

import redis
import redis.asyncio

from store.settings import StoreSettings

CHANNEL = "lure:events"
_REST_S = 5.0  # after a failure: a Redis that is away must not slow every transaction

log = logging.getLogger(__name__)


class Bell:
    """Rings after a commit."""

    def __init__(self, settings: StoreSettings) -> None:
        self._redis = redis.Redis.from_url(
            settings.redis_client_url, socket_timeout=1.0, socket_connect_timeout=1.0
        )
        self._silent_until = 0.0

    def ring(self, names: list[str]) -> None:
        """Tell the listeners that events of these names became visible."""
        if time.monotonic() < self._silent_until:
            return
        try:
            self._redis.publish(CHANNEL, json.dumps(names))
        except redis.RedisError as error:
            self._silent_until = time.monotonic() + _REST_S
            log.warning("redis is away, listeners will poll: %s", error)

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()


class Ear:
    """Waits for the bell, in a thread; who has none other to ask."""

    def __init__(self, settings: StoreSettings) -> None:
        self._redis = redis.Redis.from_url(
            settings.redis_client_url, socket_timeout=5.0, socket_connect_timeout=1.0
        )
        self._line: redis.client.PubSub | None = None

    def wait(self, timeout_s: float) -> None:
        """Return when it rings, has rung since the last time, or that time is over."""
        until = time.monotonic() + timeout_s
        try:
            if self._line is None:
                self._line = self._redis.pubsub()  # type: ignore[no-untyped-call]
                self._line.subscribe(CHANNEL)
            while (left_s := until - time.monotonic()) > 0:
                if _is_ring(self._line.get_message(timeout=left_s)):
                    break
            while self._line.get_message(timeout=0):
                pass  # many rings are one
        except (redis.RedisError, OSError):
            self._hang_up()
            time.sleep(max(0.0, until - time.monotonic()))

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                line.close()


def _is_ring(message: dict[str, object] | None) -> bool:
    return message is not None and message["type"] == "message"


async def listen(settings: StoreSettings) -> AsyncGenerator[list[str], None]:
    """Yield the names of events as they are rung; an empty list once the line is open.

    Raises:
        redis.RedisError: The line broke; the caller polls and calls again.
    """
    client = redis.asyncio.Redis.from_url(settings.redis_client_url, socket_connect_timeout=1.0)
    async with contextlib.aclosing(client), client.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        yield []
        async for message in pubsub.listen():
            if message["type"] == "message":
                yield json.loads(message["data"])
