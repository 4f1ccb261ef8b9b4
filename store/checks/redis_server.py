"""Redis: is it there, and does it keep what it is given."""

from __future__ import annotations

from typing import Any

import redis

from store.checks.finding import Finding, failure, ok, skipped, warning
from store.settings import StoreSettings

_OLDEST = 6
_FULL = 0.8
_KEEPS = "noeviction"


def examine(settings: StoreSettings) -> list[Finding]:
    """Its version, and what it does when its memory is full."""
    client = redis.Redis.from_url(
        settings.redis_client_url, socket_timeout=5.0, socket_connect_timeout=5.0
    )
    try:
        with client:
            told: dict[str, Any] = client.info()
    except (redis.RedisError, OSError) as error:
        remedy = "start Redis, or correct LURE_REDIS_URL; work waits, and the sweeper repairs"
        gone = skipped("redis policy", "Redis is not to be had")
        return [failure("redis", str(error) or type(error).__name__, remedy), gone]
    return [_server(told), _policy(told)]


def _server(told: dict[str, Any]) -> Finding:
    version = str(told["redis_version"])
    if int(version.split(".")[0]) < _OLDEST:
        return failure("redis", f"Redis {version}", f"Redis {_OLDEST} or newer is needed")
    return ok("redis", f"Redis {version}")


def _policy(told: dict[str, Any]) -> Finding:
    name, policy, most = "redis policy", told["maxmemory_policy"], int(told["maxmemory"])
    if policy != _KEEPS:
        found = f"maxmemory-policy {policy}: it throws wake-ups away when its memory is full"
        return failure(name, found, f"maxmemory-policy {_KEEPS} in redis.conf")
    used = int(told["used_memory"])
    if most and used > _FULL * most:
        found = f"{used >> 20} of {most >> 20} MiB in use"
        return warning(name, found, "raise maxmemory, or see whether workers take their tasks")
    return ok(name, f"{_KEEPS}, {used >> 20} MiB in use")
