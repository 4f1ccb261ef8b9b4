"""What the core warns of while an experiment runs."""

from __future__ import annotations

import logging

import pytest

from lure_core.experiment.notices import Once, say_once

CORE = logging.getLogger("lure_core")


def test_a_kind_of_message_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("test_notices")
    handler = Once()
    logger.addHandler(handler)
    for share in (0.1, 0.2):
        logger.warning("shrinking left %s", share)
    logger.warning("another")
    logger.removeHandler(handler)
    assert capsys.readouterr().err.splitlines() == [
        "note: shrinking left 0.1 (said once)",
        "note: another (said once)",
    ]


def test_the_cores_warnings_are_said_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CORE, "handlers", [])
    monkeypatch.setattr(CORE, "hasHandlers", lambda: False)
    say_once()
    assert [type(handler) for handler in CORE.handlers] == [Once]


def test_where_somebody_listens_already_nothing_changes() -> None:
    before = list(CORE.handlers)
    assert CORE.hasHandlers()  # pytest does
    say_once()
    assert CORE.handlers == before
