"""Lines of an event stream."""

from __future__ import annotations

from lure.sse import Event, parse


def test_events_heartbeats_and_data_over_several_lines() -> None:
    text = """\
: heartbeat

id: 7
event: chunk.learned
data: {"chunk":
data: "chk_1"}

event: nothing

data: no JSON

"""
    assert list(parse(text.splitlines())) == [
        None,
        Event(id="7", name="chunk.learned", data={"chunk": "chk_1"}),
        None,
    ]
