"""The bell is heard over a real Redis, and silent without one."""

from __future__ import annotations

import asyncio
import contextlib
import time

from store.bus import Bell, Ear, listen
from store.settings import StoreSettings


def test_what_is_rung_is_heard(settings: StoreSettings) -> None:
    async def scenario() -> list[list[str]]:
        bell, heard = Bell(settings), []
        async with contextlib.aclosing(listen(settings)) as calls:
            async for names in calls:
                heard.append(names)
                if len(heard) == 2:
                    break
                bell.ring(["alias.moved"])
        bell.close()
        return heard

    assert asyncio.run(scenario()) == [[], ["alias.moved"]]


def test_a_redis_that_is_away_costs_one_attempt(settings: StoreSettings) -> None:
    bell = Bell(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    before = time.monotonic()
    for _ in range(1000):
        bell.ring(["alias.moved"])
    assert time.monotonic() - before < 5
    bell.close()


def test_who_waits_is_woken_by_the_bell_and_once_for_many_rings(settings: StoreSettings) -> None:
    bell, ear = Bell(settings), Ear(settings)
    ear.wait(0.01)  # opens the line
    for _ in range(3):
        bell.ring(["alias.moved"])
    began = time.monotonic()
    ear.wait(30)
    assert time.monotonic() - began < 15
    ear.wait(0.01)
    bell.close()


def test_who_waits_without_a_redis_waits_its_time(settings: StoreSettings) -> None:
    ear = Ear(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    began = time.monotonic()
    ear.wait(0.2)
    assert time.monotonic() - began >= 0.2
