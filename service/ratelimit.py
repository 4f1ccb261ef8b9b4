"""How many requests a key may make in a minute, over all processes of all replicas.

A sliding window in Redis, by the library `limits`. While Redis is away each process counts for
itself: a limit is then as many times too generous as there are processes, and nobody is shut out.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import redis.asyncio
import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis import RedisError

from store.settings import StoreSettings

_WINDOW_S = 60
_ANSWER_S = 0.5  # for Redis; a request must not wait longer for being counted
_REST_S = 5.0  # after a failure

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Standing:
    """Where somebody stands within a limit."""

    is_within: bool
    limit: int
    remaining: int
    reset_s: int

    @property
    def headers(self) -> dict[str, str]:
        """As the IETF's draft on RateLimit fields spells it; and when to come again."""
        told = {
            "ratelimit-policy": f'"key";q={self.limit};w={_WINDOW_S}',
            "ratelimit": f'"key";r={self.remaining};t={self.reset_s}',
        }
        return told if self.is_within else told | {"retry-after": str(max(1, self.reset_s))}


class RateLimits:
    """Counts requests, by whatever name somebody goes."""

    def __init__(self, settings: StoreSettings) -> None:
        self._pool = redis.asyncio.ConnectionPool.from_url(
            settings.redis_client_url,
            socket_timeout=_ANSWER_S,
            socket_connect_timeout=_ANSWER_S,
        )
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix="lure:limits",
            connection_pool=self._pool,  # type: ignore[arg-type]
        )
        self._shared = SlidingWindowCounterRateLimiter(storage)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._alone_until = 0.0

    async def hit(self, kind: str, name: str, per_minute: int) -> Standing:
        """Count one more request of that name."""
        item = RateLimitItemPerMinute(per_minute, namespace=kind)
        if time.monotonic() >= self._alone_until:
            try:
                return await _hit(self._shared, item, name)
            except (RedisError, OSError, TimeoutError) as error:
                self._alone_until = time.monotonic() + _REST_S
                log.warning("redis is away, each process counts for itself", error=str(error))
        return await _hit(self._own, item, name)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.disconnect()


async def _hit(
    limiter: SlidingWindowCounterRateLimiter, item: RateLimitItemPerMinute, name: str
) -> Standing:
    is_within = await limiter.hit(item, name)
    stats = await limiter.get_window_stats(item, name)
    reset_s = max(0, math.ceil(stats.reset_time - time.time()))
    return Standing(is_within, item.amount, max(0, stats.remaining), reset_s)
