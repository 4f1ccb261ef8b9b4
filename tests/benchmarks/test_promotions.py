from __future__ import annotations

import httpx
import pytest

from benchmarks import promotions
from benchmarks.promotions import Event, Promoter, Unserved, seconds


def moved(version: int, at: float) -> Event:
    return Event(id=0, version=version, replica=None, at=at)


def swapped(version: int, replica: str, at: float) -> Event:
    return Event(id=0, version=version, replica=replica, at=at)


class Rows:
    """A database: each look finds the next rows."""

    def __init__(self, *looks: list[Event]) -> None:
        self._looks = iter(looks)

    def execute(self, query: str, values: tuple[int]) -> list[tuple[object, ...]]:
        found = next(self._looks, [])
        return [(event.id, event.version, event.replica, event.at) for event in found]


def promoter(database: Rows, *, status: int = 200) -> Promoter:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status)

    api = httpx.Client(base_url="http://api", transport=httpx.MockTransport(answer))
    return Promoter(api, database, stream="s", versions=3, replicas=2)  # type: ignore[arg-type]


def test_a_promotion_lasts_to_the_last_replicas_report() -> None:
    events = [moved(1, at=1.0), swapped(1, "a", at=1.5), swapped(1, "b", at=3.0)]
    assert seconds(events, 1, replicas=2) == 2.0


def test_one_replica_is_not_all() -> None:
    events = [moved(1, 1.0), swapped(1, "a", 1.5), swapped(1, "a", 1.75), swapped(2, "b", 2.0)]
    assert seconds(events, 1, replicas=2) is None


def test_a_slow_promotion_is_waited_for_and_counts() -> None:
    slow = Rows([], [moved(1, 1.0)], [swapped(1, "a", 1.1)], [swapped(1, "b", 9.0)])
    assert promoter(slow).until(ends=0.0, every_s=0.1) == []
    assert promoter(slow)._promote() == 8.0


def test_what_no_replica_serves_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotions, "SERVED_S", 0.05)
    with pytest.raises(Unserved):
        promoter(Rows([], [moved(1, 1.0), swapped(1, "a", 1.1)]))._promote()


def test_a_promotion_that_is_refused_is_an_error() -> None:
    with pytest.raises(httpx.HTTPStatusError):
        promoter(Rows(), status=503)._promote()
