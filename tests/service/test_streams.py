from __future__ import annotations

import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lure_core import presets
from lure_core.config import Recipe, Unlearn
from lure_core.policies import Counterfactual, Feedback, Gate, Quota, Retention
from lure_core.section import Section
from store import streams
from tests.factories import create_version
from tests.service.conftest import Plane
from tests.service.control import problem


def create(plane: Plane, **fields: Any) -> dict[str, Any]:
    answer = plane.client.post("/v1/streams", json={"name": plane.new_name(), **fields})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def as_json(section: Section) -> Any:
    return json.loads(json.dumps(section.to_dict()))


def test_a_name_is_enough(client: httpx.Client) -> None:
    answer = client.post("/v1/streams", json={"name": "digits"})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/streams/digits"
    made = answer.json()
    assert made["classes"] is made["input"] is made["champion"] is None
    assert made["architecture"] == "resnet18"
    assert made["open_classes"] is False
    assert made["recipe"] == as_json(Recipe())
    assert made["policies"] == {
        "trigger": {"max_chunks": 1},
        "replay": {"kind": "full", "capacity": 10_000, "keep": "reservoir"},
        "unlearn": as_json(Unlearn()),
        "gate": Gate().to_dict(),
        "holdout": {"select": 0.05, "judge": 0.05},
        "feedback": Feedback().to_dict(),
        "counterfactual": as_json(Counterfactual()),
        "retention": Retention().to_dict(),
        "quota": Quota().to_dict(),
    }
    assert dt.datetime.fromisoformat(made["created_at"]).utcoffset() == dt.timedelta(0)
    assert client.get("/v1/streams/digits").json() == made


def test_what_is_stated_is_kept(plane: Plane) -> None:
    made = create(
        plane,
        classes=["cat", "dog"],
        input={"channels": 3, "height": 32, "width": 48},
        architecture="resnet20s",
        recipe={"epochs": 2, "seed": 7, "milestones": [0.5]},
        policies={"gate": {"tolerance": 0.1}, "unlearn": {"strategy": "warm"}},
    )
    assert made["classes"] == ["cat", "dog"]
    assert made["input"] == {"channels": 3, "height": 32, "width": 48}
    assert (made["recipe"]["epochs"], made["recipe"]["milestones"]) == (2, [0.5])
    assert made["policies"]["gate"] == Gate(tolerance=0.1).to_dict()
    assert made["policies"]["unlearn"]["strategy"] == "warm"


def test_a_recipe_by_name_is_shown_in_full_and_classes_may_be_open(plane: Plane) -> None:
    made = create(plane, classes="open", recipe="frugal", policies={"replay": {"kind": "one"}})
    recipe, unlearn = presets.apply("frugal", Recipe(), Unlearn())
    assert (made["classes"], made["open_classes"]) == (None, True)
    assert made["recipe"] == as_json(recipe)
    assert made["policies"]["unlearn"] == as_json(unlearn)
    assert made["policies"]["replay"]["kind"] == "one"
    assert plane.client.get(f"/v1/streams/{made['name']}").json() == made


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"name": "Digits"}, "/name", "lower-case"),
        ({"name": "-digits"}, "/name", "lower-case"),
        ({"name": "digits\n"}, "/name", "lower-case"),
        ({"name": "d" * 64}, "/name", "lower-case"),
        ({}, "/name", "required"),
        ([], "", "object"),
        ({"name": "x", "recipe": {"a": [[[[[[[1]]]]]]]}}, "/recipe", "deeply"),
    ],
)
def test_a_body_of_another_shape_is_told_with_its_pointer(
    client: httpx.Client, body: Any, pointer: str, words: str
) -> None:
    told = problem(client.post("/v1/streams", json=body), 422, "invalid")
    found = {fault["pointer"]: fault["detail"] for fault in told["errors"]}
    assert words in found[pointer]


def test_all_faults_are_told_at_once(client: httpx.Client) -> None:
    body = {"name": "x", "recipe": {"epochs": 0, "gamma": 2}, "architecture": "vgg", "polices": {}}
    told = problem(client.post("/v1/streams", json=body), 422)
    pointers = {fault["pointer"] for fault in told["errors"]}
    assert pointers == {"/recipe/epochs", "/recipe/gamma", "/architecture", "/polices"}
    problem(client.get("/v1/streams/x"), 404)


def test_a_name_is_given_once(client: httpx.Client, stream: str) -> None:
    problem(client.post("/v1/streams", json={"name": stream}), 409, "exists")


def test_the_same_key_gives_the_same_answer(plane: Plane) -> None:
    body = {"name": plane.new_name()}
    bare, quoted = {"Idempotency-Key": "same"}, {"Idempotency-Key": '"same"'}
    first = plane.client.post("/v1/streams", json=body, headers=bare)
    again = plane.client.post("/v1/streams", json=body, headers=quoted)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_a_key_with_another_payload_is_refused(plane: Plane) -> None:
    key = {"Idempotency-Key": "other"}
    first, second = {"name": plane.new_name()}, {"name": plane.new_name()}
    assert plane.client.post("/v1/streams", json=first, headers=key).status_code == 201
    problem(plane.client.post("/v1/streams", json=second, headers=key), 422, "key-reused")
    problem(plane.client.get(f"/v1/streams/{second['name']}"), 404)


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, '""'])
def test_a_malformed_key_is_refused(plane: Plane, key: str) -> None:
    headers = {"Idempotency-Key": key}
    answer = plane.client.post("/v1/streams", json={"name": plane.new_name()}, headers=headers)
    problem(answer, 422)


def test_equal_requests_in_one_instant_get_one_answer(plane: Plane) -> None:
    body, key = {"name": plane.new_name()}, {"Idempotency-Key": "instant"}

    def post(_: int) -> httpx.Response:
        return httpx.post(f"{plane.url}/v1/streams", json=body, headers=key)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["created_at"] for answer in answers}) == 1


def test_streams_come_in_pages_newest_first(plane: Plane) -> None:
    made = [plane.new_stream() for _ in range(5)]
    seen: list[str] = []
    token = None
    while True:
        query = {"page_size": 2} | ({"page_token": token} if token else {})
        page = plane.client.get("/v1/streams", params=query).json()
        assert len(page["items"]) <= 2
        seen += [item["name"] for item in page["items"]]
        if (token := page["next_page_token"]) is None:
            break
    assert seen[:5] == made[::-1]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("query", ["page_size=0", "page_size=501", "page_token=x", "page_size=a"])
def test_a_malformed_page_is_refused(client: httpx.Client, query: str) -> None:
    told = problem(client.get(f"/v1/streams?{query}"), 422)
    assert told["errors"][0]["pointer"] == f"query:{query.split('=')[0]}"


def test_the_champion_is_shown(plane: Plane, stream: str) -> None:
    with plane.database.begin() as session:
        row = streams.get(session, stream)
    create_version(plane.database, row)
    assert plane.client.get(f"/v1/streams/{stream}").json()["champion"] == 1
    assert plane.client.get("/v1/streams").json()["items"][0]["champion"] == 1


def test_an_unknown_stream_is_404_and_an_impossible_name_422(client: httpx.Client) -> None:
    problem(client.get("/v1/streams/nowhere"), 404)
    problem(client.get("/v1/streams/No%00where"), 422)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "epochs", "seed", "gate", "kind", "channels"])
            | st.text(max_size=4),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
MEMBERS = st.fixed_dictionaries(
    {"name": st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,20}\Z") | JSON},
    optional=dict.fromkeys(
        ("classes", "input", "architecture", "recipe", "policies", "more"), JSON
    ),
)


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=JSON | MEMBERS)
def test_no_json_body_fails_the_service(client: httpx.Client, body: Any) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/streams", content=json.dumps(body), headers=headers)  # NaN too
    if answer.status_code != 201:
        assert answer.status_code in (409, 422)
        problem(answer, answer.status_code)
