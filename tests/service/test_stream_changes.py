"""A stream's recipe and policies, changed after it was made."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from lure_core.config import Unlearn
from lure_core.policies import Gate
from store import cycles, streams
from tests.factories import admit_chunk, create_chunk
from tests.service.conftest import Plane
from tests.service.control import problem

MERGE = {"content-type": "application/merge-patch+json"}


@pytest.fixture
def made(plane: Plane) -> dict[str, Any]:
    """A new stream with all defaults."""
    answer = plane.client.post("/v1/streams", json={"name": plane.new_name()})
    assert answer.headers["etag"] == '"1"'
    body: dict[str, Any] = answer.json()
    return body


def change(
    plane: Plane, name: str, patch: Any, *, etag: str | None = '"1"', **headers: str
) -> httpx.Response:
    if etag is not None:
        headers["if-match"] = etag
    return plane.client.patch(f"/v1/streams/{name}", json=patch, headers=headers)


def test_what_the_patch_names_changes_and_the_rest_stays(
    plane: Plane, made: dict[str, Any]
) -> None:
    patch = {"policies": {"gate": {"mode": "manual"}}, "recipe": {"epochs": 7, "seed": 3}}
    answer = change(plane, made["name"], patch)
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    changed = answer.json()
    assert changed["policies"]["gate"] == {**Gate().to_dict(), "mode": "manual"}
    assert changed["recipe"] == {**made["recipe"], "epochs": 7, "seed": 3}
    assert changed["policies"] | {"gate": None} == made["policies"] | {"gate": None}
    again = plane.client.get(f"/v1/streams/{made['name']}")
    assert (again.json(), again.headers["etag"]) == (changed, '"2"')
    with plane.database.begin() as session:
        assert streams.get(session, made["name"]).seed == 3


def test_a_stale_etag_is_refused_and_a_missing_one_asked_for(
    plane: Plane, made: dict[str, Any]
) -> None:
    patch = {"policies": {"gate": {"mode": "manual"}}}
    assert change(plane, made["name"], patch).status_code == 200
    stale = change(plane, made["name"], {"policies": {"gate": {"mode": "auto"}}})
    assert 'at "2" now' in problem(stale, 412, "stale")["detail"]
    problem(change(plane, made["name"], patch, etag=None), 428, "precondition-required")
    assert change(plane, made["name"], patch, etag="*").status_code == 200


def test_what_changes_nothing_leaves_the_etag(plane: Plane, made: dict[str, Any]) -> None:
    for patch in ({}, {"recipe": {}}, {"recipe": {"epochs": made["recipe"]["epochs"]}}):
        answer = change(plane, made["name"], patch)
        assert (answer.json(), answer.headers["etag"]) == (made, '"1"')


def test_null_goes_back_to_the_default_or_is_the_value_null(
    plane: Plane, made: dict[str, Any]
) -> None:
    name = made["name"]
    change(plane, name, {"policies": {"gate": {"mode": "manual", "min_judge": 9}}})
    patch = {"policies": {"gate": {"mode": None, "per_class": None}}}
    gate = change(plane, name, patch, etag='"2"').json()["policies"]["gate"]
    assert gate == {**Gate().to_dict(), "min_judge": 9, "per_class": None}
    whole = change(plane, name, {"policies": None, "recipe": None}, etag='"3"').json()
    assert (whole["policies"], whole["recipe"]) == (made["policies"], made["recipe"])


def test_the_name_of_a_recipe_replaces_it_and_its_unlearning(
    plane: Plane, made: dict[str, Any]
) -> None:
    asked = {"name": plane.new_name(), "recipe": {"name": "frugal", "batch_size": 64}}
    wanted = plane.client.post("/v1/streams", json=asked).json()
    changed = change(plane, made["name"], {"recipe": asked["recipe"]}).json()
    assert changed["recipe"] == wanted["recipe"]
    assert changed["policies"] == wanted["policies"]
    assert changed["policies"]["unlearn"] != Unlearn().to_dict()


@pytest.mark.parametrize(
    ("patch", "pointer", "words"),
    [
        ({"name": "y"}, "/name", "fixed for good"),
        ({"classes": "open"}, "/classes", "fixed for good"),
        ({"polices": {}}, "/polices", "did you mean policies?"),
        ({"policies": {"gates": {}}}, "/policies/gates", "did you mean gate?"),
        ({"policies": {"gate": {"mod": "x"}}}, "/policies/gate/mod", "did you mean mode?"),
        ({"policies": {"gate": {"mod": None}}}, "/policies/gate/mod", "did you mean mode?"),
        ({"policies": {"gate": {"mode": "auot"}}}, "/policies/gate/mode", "did you mean 'auto'?"),
        ({"policies": {"gate": 3}}, "/policies/gate", "must be an object"),
        ({"policies": []}, "/policies", "must be an object"),
        ({"recipe": {"epochs": 0}}, "/recipe/epochs", "between 1 and 10000"),
        ({"recipe": "frugl"}, "/recipe", "did you mean frugal?"),
    ],
)
def test_faults_are_told_with_their_pointers(
    plane: Plane, made: dict[str, Any], patch: dict[str, Any], pointer: str, words: str
) -> None:
    refused = problem(change(plane, made["name"], patch), 422, "invalid")
    (fault,) = refused["errors"]
    assert fault["pointer"] == pointer
    assert words in fault["detail"]
    assert plane.client.get(f"/v1/streams/{made['name']}").json() == made


def test_the_hold_out_is_fixed_by_the_first_chunk(plane: Plane, made: dict[str, Any]) -> None:
    patch = {"policies": {"holdout": {"judge": 0.2}}}
    assert change(plane, made["name"], patch).status_code == 200
    with plane.database.begin() as session:
        row = streams.get(session, made["name"])
    create_chunk(plane.database, row)
    refused = change(plane, made["name"], {"policies": {"holdout": {"judge": 0.3}}}, etag='"2"')
    assert "keeps its role" in problem(refused, 409, "conflict")["detail"]


def test_a_cycle_that_has_begun_keeps_what_it_began_with(
    plane: Plane, made: dict[str, Any]
) -> None:
    with plane.database.begin() as session:
        row = streams.get(session, made["name"])
    admit_chunk(plane.database, row, create_chunk(plane.database, row))
    with plane.database.begin() as session:
        claim = cycles.claim_next(session, row.id, worker="w", stale_s=10)
    assert claim is not None
    assert change(plane, made["name"], {"recipe": {"epochs": 7}}).json()["recipe"]["epochs"] == 7
    with plane.database.begin() as session:
        cycle = cycles.get(session, row, claim.cycle_id)
    assert cycle.settings == {"recipe": made["recipe"], "policies": made["policies"]}


def test_the_media_type_of_merge_patches_is_understood(plane: Plane, made: dict[str, Any]) -> None:
    url, tag = f"/v1/streams/{made['name']}", {"if-match": '"1"'}
    answer = plane.client.patch(url, content=b'{"recipe": {"epochs": 2}}', headers=MERGE | tag)
    assert answer.json()["recipe"]["epochs"] == 2
    refused = plane.client.patch(url, content=b"epochs=2", headers={"content-type": "text/plain"})
    problem(refused, 415)
    problem(plane.client.patch("/v1/streams/nowhere", json={}, headers=tag), 404, "not-found")
