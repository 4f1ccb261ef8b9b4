"""The graph of versions, with a branch that a rollback made."""

from __future__ import annotations

import pytest

from store import aliases, retention, streams
from store.models import Rerun, Stream
from store.states import RerunState
from tests.factories import create_version
from tests.service.conftest import Plane
from tests.service.control import problem

REFUSED = {"outcome": "failed", "promoted": False}
PASSED = {"outcome": "passed", "promoted": True}


@pytest.fixture
def row(plane: Plane, stream: str) -> Stream:
    """1 → 2 → 3, rolled back to 1, from which came 4; 5 was refused."""
    with plane.database.begin() as session:
        row = streams.get(session, stream)
    for _ in range(3):
        create_version(plane.database, row, verdict=PASSED)
    with plane.database.begin() as session:
        for _ in range(2):
            aliases.rollback(session, row, who="test", reason="worse at night")
    create_version(plane.database, row, verdict=PASSED)
    create_version(plane.database, row, verdict=REFUSED, champion=False)
    with plane.database.begin() as session:
        retention.delete_weights(session, row, 3, who="test")
        session.add(
            Rerun(
                id=f"rer_{stream}",
                stream_id=row.id,
                version=4,
                method="reproduce",
                reason="asked",
                state=RerunState.QUEUED,
            )
        )
    return row


def test_a_rollback_makes_a_branch(plane: Plane, row: Stream) -> None:
    shown = plane.client.get(f"/v1/streams/{row.name}/lineage").json()
    assert [(edge["source"], edge["target"]) for edge in shown["edges"]] == [
        (1, 2),
        (2, 3),
        (1, 4),
        (4, 5),
    ]
    nodes = {node["version"]: node for node in shown["nodes"]}
    assert [nodes[n]["promoted"] for n in nodes] == [True, True, True, True, False]
    assert (nodes[4]["aliases"], nodes[4]["reruns"]) == (["champion"], 1)
    assert (nodes[3]["state"], nodes[3]["accuracy"]) == ("weights_deleted", 0.9)
    assert (nodes[5]["outcome"], nodes[5]["strategy"]) == ("failed", "lure")
    assert all(len(node["chunks"]) == 1 for node in nodes.values())


def test_the_newest_versions_are_shown_and_how_many_there_are(plane: Plane, row: Stream) -> None:
    shown = plane.client.get(f"/v1/streams/{row.name}/lineage", params={"limit": 2}).json()
    assert [node["version"] for node in shown["nodes"]] == [4, 5]
    assert shown["edges"] == [{"source": 4, "target": 5}]
    assert shown["nodes"][0]["parent"] == 1
    assert shown["versions"] == 5


def test_as_text_for_mermaid_by_accept(plane: Plane, row: Stream) -> None:
    url = f"/v1/streams/{row.name}/lineage"
    answer = plane.client.get(url, headers={"accept": "text/vnd.mermaid"})
    assert answer.headers["content-type"].startswith("text/vnd.mermaid")
    assert answer.text.splitlines() == [
        "flowchart LR",
        '  v1["1: 90.0%<br/>learn, passed<br/><b>previous</b>"]',
        '  v2["2: 90.0%<br/>lure, passed"]',
        '  v3["3: 90.0%<br/>lure, passed<br/>weights deleted"]',
        '  v4["4: 90.0%<br/>lure, passed<br/><b>champion</b>"]',
        '  v5["5: 90.0%<br/>lure, failed"]:::refused',
        "  v1 --> v2",
        "  v2 --> v3",
        "  v1 --> v4",
        "  v4 --> v5",
        "  classDef refused stroke-dasharray: 4 3",
    ]


def test_as_text_for_graphviz_by_format(plane: Plane, row: Stream) -> None:
    answer = plane.client.get(f"/v1/streams/{row.name}/lineage", params={"format": "dot"})
    assert answer.headers["content-type"].startswith("text/vnd.graphviz")
    first, *lines, last = answer.text.splitlines()
    assert (first, last) == (f'digraph "{row.name}" {{', "}")
    assert r'  v5 [label="5: 90.0%\nlure, failed", style=dashed]' in lines
    assert "  v1 -> v4" in lines
    problem(plane.client.get(f"/v1/streams/{row.name}/lineage", params={"format": "gif"}), 422)


def test_a_new_stream_has_an_empty_graph(plane: Plane, stream: str) -> None:
    shown = plane.client.get(f"/v1/streams/{stream}/lineage").json()
    assert shown == {"stream": stream, "versions": 0, "nodes": [], "edges": []}
    problem(plane.client.get("/v1/streams/nowhere/lineage"), 404, "not-found")
