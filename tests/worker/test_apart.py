"""A stream's fault stays its own; what befalls all of them does not."""

from __future__ import annotations

import pytest

from store.errors import DatabaseAway
from store.models import Stream
from worker.apart import apart


def test_a_fault_is_logged_with_its_stream_and_goes_no_further(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with apart(Stream(name="digits"), "it cannot be closed"):
        raise ValueError
    (record,) = caplog.records
    assert (record.message, record.__dict__["stream"]) == ("it cannot be closed", "digits")


def test_a_database_that_is_away_is_no_streams_fault() -> None:
    with pytest.raises(DatabaseAway), apart(Stream(name="digits"), "it cannot be closed"):
        raise DatabaseAway("it cannot be reached")
