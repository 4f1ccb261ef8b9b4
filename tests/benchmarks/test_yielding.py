from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from benchmarks import yielding
from benchmarks.load import Outcome, Wanted
from lure.client import Client

WANTED = Wanted("http://nowhere", b"", {}, clients=8, seconds=1.0)


class Training:
    """A client that sees the cycle at one epoch after the other."""

    def __init__(self, *epochs: int) -> None:
        self._epochs: Iterator[int] = iter(epochs)

    def cycles(self, stream: str) -> dict[str, object]:
        return {"items": [{"progress": {"epoch": next(self._epochs)}}]}


@pytest.fixture(autouse=True)
def no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yielding, "load", lambda wanted: Outcome(wanted.seconds))


def test_a_load_beside_which_nobody_trained_gives_no_figures() -> None:
    with pytest.raises(yielding.Idle):
        yielding.beside(cast(Client, Training(4, 4)), WANTED)


def test_epochs_that_passed_are_counted() -> None:
    assert yielding.beside(cast(Client, Training(4, 9)), WANTED)[1] == 5
