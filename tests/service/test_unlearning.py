"""What a version unlearned, as figures, bits and a picture."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from store import streams
from store.blobs import Blobs
from store.blobs.folder import Folder
from store.models import Stream
from tests.conftest import Servers
from tests.factories import create_version
from tests.service.conftest import Plane
from tests.service.control import problem

SVG = "{http://www.w3.org/2000/svg}"
MASK_N = np.arange(30) % 5 == 0
HOSTILE = 'block<script>&"quoted"\x07.weight'


@pytest.fixture
def row(plane: Plane, stream: str, servers: Servers) -> Stream:
    """A stream of two versions; the second reset 6 of 30 weights."""
    blobs = Blobs(Folder(plane.blobs), plane.database)
    with plane.database.begin() as session:
        row = streams.get(session, stream)
    create_version(plane.database, row)
    record = {
        "strategy": "lure",
        "counted": 30,
        "reset": 6,
        "layer_share": {"layer.2.weight": 0.1, "layer.10.weight": 0.3, HOSTILE: 0.2},
        "seconds": 0.5,
        "overlap": {"version": 1, "share": 0.25},
    }
    digest = blobs.put_bytes(np.packbits(MASK_N).tobytes())
    create_version(plane.database, row, unlearning=record, mask_digest=digest)
    return row


def url(row: Stream, version: int, what: str) -> str:
    return f"/v1/streams/{row.name}/versions/{version}/{what}"


def test_the_report_says_how_much_of_each_layer_was_kept(plane: Plane, row: Stream) -> None:
    shown = plane.client.get(url(row, 2, "unlearning")).json()
    assert (shown["strategy"], shown["counted"], shown["reset"]) == ("lure", 30, 6)
    assert (shown["kept"], shown["parent"]) == (0.8, 1)
    kept = {layer["name"]: layer["kept"] for layer in shown["layers"]}
    assert kept["layer.10.weight"] == pytest.approx(0.7)
    names = [name for name in kept if name.startswith("layer")]
    assert names == ["layer.2.weight", "layer.10.weight"]
    assert shown["overlap"] == {"version": 1, "share": 0.25}
    assert shown["mask"]["bytes"] == 4
    assert shown["report"] == {"seconds": 0.5}


def test_the_mask_is_its_packed_bits_and_has_an_etag(plane: Plane, row: Stream) -> None:
    shown = plane.client.get(url(row, 2, "unlearning")).json()
    answer = plane.client.get(shown["mask_url"])
    assert answer.headers["content-type"] == "application/octet-stream"
    bits = np.unpackbits(np.frombuffer(answer.content, np.uint8), count=shown["counted"])
    assert np.array_equal(bits.astype(bool), MASK_N)
    again = plane.client.get(shown["mask_url"], headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_picture_is_well_formed_and_escapes_what_layers_are_called(
    plane: Plane, row: Stream
) -> None:
    answer = plane.client.get(url(row, 2, "unlearning.svg"))
    assert answer.headers["content-type"].startswith("image/svg+xml")
    root = ElementTree.fromstring(answer.content)
    assert not root.findall(f".//{SVG}script")
    bars = root.findall(f".//{SVG}rect[@class='bar']")
    assert len(bars) == 3
    told = [title.text for title in root.findall(f".//{SVG}g/{SVG}title")]
    assert HOSTILE.replace("\x07", "\ufffd") + ": 80.00%" in told


def test_accept_chooses_between_figures_and_picture(plane: Plane, row: Stream) -> None:
    drawn = plane.client.get(url(row, 2, "unlearning"), headers={"accept": "image/svg+xml"})
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    assert drawn.content == plane.client.get(url(row, 2, "unlearning.svg")).content
    told = plane.client.get(
        url(row, 2, "unlearning"), headers={"accept": "image/svg+xml;q=0.5, application/*"}
    )
    assert told.headers["content-type"] == "application/json"
    assert drawn.headers["vary"] == told.headers["vary"] == "Accept"


def test_a_first_version_unlearned_nothing(plane: Plane, row: Stream) -> None:
    shown = plane.client.get(url(row, 1, "unlearning")).json()
    assert (shown["strategy"], shown["kept"], shown["layers"]) == ("learn", None, [])
    assert (shown["mask"], shown["mask_url"], shown["report"]) == (None, None, None)
    ElementTree.fromstring(plane.client.get(url(row, 1, "unlearning.svg")).content)
    problem(plane.client.get(url(row, 1, "unlearning/mask")), 404, "not-found")
    problem(plane.client.get(url(row, 9, "unlearning")), 404, "not-found")
