from __future__ import annotations

import pytest

from service.access import sparing
from service.access.gate import _address
from service.access.sparing import Sparing


def test_each_is_told_of_so_many_times_in_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(sparing.time, "monotonic", lambda: now)
    some = Sparing(2)
    assert [some.allows("a") for _ in range(3)] == [True, True, False]
    assert some.allows("b")
    now += 60
    assert some.allows("a")


def test_of_very_many_none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparing, "_MOST_NAMES", 2)
    monkeypatch.setattr(sparing.time, "monotonic", lambda: 1000.0)
    some = Sparing(5)
    assert [some.allows(name) for name in "abca"] == [True, True, False, True]


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("203.0.113.9", 1), "203.0.113.9"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (None, "unknown"),
        (("testclient", 1), "testclient"),
    ],
)
def test_an_address_is_what_one_client_has(client: tuple[str, int] | None, address: str) -> None:
    assert _address({"client": client}) == address
