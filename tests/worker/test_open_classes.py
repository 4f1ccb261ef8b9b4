"""A class list that grows with the cycles that learn new labels."""

from __future__ import annotations

import json

import numpy as np

from store import aliases, events
from store.models import Stream
from tests.digits import labels
from tests.worker.conftest import Bench
from worker.pipeline import process_next


def of(first: int, *digits: int) -> list[int]:
    """Twenty images of each of those digits, from the `first` of each on."""
    rows = [np.flatnonzero(labels == digit)[first : first + 20] for digit in digits]
    return [int(row) for row in np.concatenate(rows)]


def grown(bench: Bench, name: str) -> Stream:
    """A stream with a version that knows three classes, and a chunk of five waiting."""
    stream = bench.stream(name, open_classes=True)
    bench.admitted(stream, of(0, 2, 7, 9))
    bench.admitted(stream, of(20, 9, 8, 7, 1, 2))
    process_next(bench.context, stream.id)
    return stream


def test_the_head_grows_and_the_list_is_only_ever_appended_to(bench: Bench) -> None:
    stream = grown(bench, "digits")
    assert bench.read_stream("digits").classes == ["2", "7", "9"]
    process_next(bench.context, stream.id)
    assert bench.read_stream("digits").classes == ["2", "7", "9", "1", "8"]

    one, two = bench.version(stream, 1), bench.version(stream, 2)
    assert (one.known_classes, two.known_classes) == (3, 5)
    sidecar = json.loads(bench.context.blobs.read(two.sidecar_digest))
    assert sidecar["classes"] == ["2", "7", "9", "1", "8"]
    assert set(two.metrics["per_class"]) == {"2", "7", "9", "1", "8"}
    assert two.verdict["champion"]["images"] == two.metrics["images"]
    names = [event.name for event in bench.read(events.after, 0, cycle_id=two.cycle_id)]
    assert names[:2] == ["cycle.started", "stream.classes_grown"]

    with bench.database.begin() as session:  # the parent of the next has fewer classes
        aliases.rollback(session, stream, who="a test", reason="too bold")
    bench.admitted(stream, of(40, 3, 1, 2))
    process_next(bench.context, stream.id)
    three = bench.version(stream, 3)
    assert (three.parent, three.known_classes) == (1, 6)
    assert bench.read_stream("digits").classes == ["2", "7", "9", "1", "8", "3"]
