"""What takes longer than a scrape waits is there for the next one."""

from __future__ import annotations

import asyncio
import threading

import pytest

from service import reading
from service.reading import Reading

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_slow_reading_is_shown_by_the_next_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_PATIENCE_S", 0.05)
    may = threading.Event()
    answers = iter([1, 2])

    def read() -> int:
        may.wait(30)
        return next(answers)

    slow = Reading("slow", read)
    await slow.refresh()
    assert slow.latest is None
    may.set()
    while slow.latest is None:  # nobody scrapes meanwhile
        await asyncio.sleep(0)
    assert slow.latest == 1
    may.clear()
    await slow.refresh()  # the next one is slow too, and this one is young
    assert slow.latest == 1
    assert 0 < slow.age_s < 30
    monkeypatch.setattr(reading, "_YOUNG_S", 0.0)
    await slow.refresh()
    assert slow.latest is None
    may.set()


async def test_what_cannot_be_read_is_not_what_was_read_before() -> None:
    answers = iter([1, None])
    gone = Reading("gone", lambda: next(answers))
    await gone.refresh()
    assert gone.latest == 1
    await gone.refresh()
    assert gone.latest is None
