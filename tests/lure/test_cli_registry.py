"""The commands of the registry: what they ask of the service, and how they tell its answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lure.cli import app
from lure.errors import LureError

from .conftest import Answer, Scripted

ETAG = {"ETag": '"7"'}
REPORT = {
    "version": 2,
    "parent": 1,
    "strategy": "lure",
    "counted": 640,
    "reset": 160,
    "kept": 0.75,
    "layers": [{"name": "fc.weight", "weights": 640, "kept": 0.75}],
    "overlap": {"version": 1, "share": 0.5, "by_chance": 0.25},
}


def told(answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(answer).encode(), headers or {})


def lure(scripted: Scripted, *arguments: str) -> Result:
    """The command in this process; whether it is one is tested elsewhere."""
    return CliRunner().invoke(app, ["--url", scripted.url, *arguments])


def asked(scripted: Scripted) -> list[tuple[str, str]]:
    return [(request.method, request.path) for request in scripted.requests]


def test_promote_moves_the_champion_as_it_was_seen(scripted: Scripted) -> None:
    alias = {"alias": "champion", "version": 3, "hold": False}
    scripted.answers = [told(alias, headers=ETAG), told(alias)]
    ended = lure(scripted, "promote", "digits", "3", "--reason", "better at night", "--no-hold")
    assert ended.output == "digits: champion is version 3\n"
    read, moved = scripted.requests
    assert (read.method, moved.method) == ("GET", "PUT")
    assert moved.path == "/v1/streams/digits/aliases/champion"
    assert moved.headers["if-match"] == '"7"'
    assert json.loads(moved.body) == {"version": 3, "reason": "better at night", "hold": False}


def test_an_alias_that_is_not_there_is_made(scripted: Scripted) -> None:
    alias = {"alias": "mine", "version": 2, "hold": False}
    scripted.answers = [told({"title": "There is no such thing"}, 404), told(alias, 201)]
    assert (
        lure(scripted, "alias", "set", "digits", "mine", "2").output
        == "digits: mine is version 2\n"
    )
    made = scripted.requests[1]
    assert (made.headers["if-none-match"], "if-match" in made.headers) == ("*", False)


def test_an_alias_is_deleted_as_it_was_seen(scripted: Scripted) -> None:
    scripted.answers = [told({}, headers=ETAG), Answer(204, b"")]
    assert lure(scripted, "alias", "delete", "digits", "mine", "--reason", "over").exit_code == 0
    assert asked(scripted)[1] == ("DELETE", "/v1/streams/digits/aliases/mine?reason=over")
    assert scripted.requests[1].headers["if-match"] == '"7"'


def test_the_history_tells_when_who_and_why(scripted: Scripted) -> None:
    move = {"at": "2026-01-02", "from_version": 2, "to_version": 1, "who": "api", "reason": "bad"}
    scripted.answers = [told({"items": [move], "next_page_token": None})]
    ended = lure(scripted, "alias", "history", "digits")
    assert "moves of champion" in ended.output
    assert [word in ended.output for word in ("2026-01-02", "api", "bad")] == [True] * 3


def test_set_sends_one_patch_with_the_etag(scripted: Scripted) -> None:
    changed = {"name": "digits", "policies": {"gate": {"mode": "manual", "per_class": None}}}
    scripted.answers = [told({}, headers=ETAG), told(changed)]
    given = ("policies.gate.mode=manual", "policies.gate.per_class=null", "recipe.epochs=20")
    ended = lure(scripted, "set", "digits", *given)
    assert ended.output.splitlines()[:2] == [
        'digits: policies.gate.mode is "manual"',
        "digits: policies.gate.per_class is null",
    ]
    patch = scripted.requests[1]
    assert (patch.method, patch.headers["if-match"]) == ("PATCH", '"7"')
    assert json.loads(patch.body) == {
        "policies": {"gate": {"mode": "manual", "per_class": None}},
        "recipe": {"epochs": 20},
    }


@pytest.mark.parametrize("given", [("recipe",), ("recipe=frugal", "recipe.epochs=2")])
def test_settings_that_cannot_be_read_are_a_mistake(
    scripted: Scripted, given: tuple[str, ...]
) -> None:
    assert lure(scripted, "set", "digits", *given).exit_code == 2
    assert scripted.requests == []


def test_deleting_weights_that_are_needed_tells_why(scripted: Scripted) -> None:
    scripted.answers = [told({"title": "Conflict", "detail": "alias previous points at it"}, 409)]
    ended = lure(scripted, "delete-weights", "digits", "3")
    assert isinstance(ended.exception, LureError)
    assert "alias previous points at it" in str(ended.exception)
    assert asked(scripted) == [("DELETE", "/v1/streams/digits/versions/3/weights")]


def node(version: int, **more: Any) -> dict[str, Any]:
    shown = {"version": version, "accuracy": 0.9, "strategy": "lure", "outcome": "passed"}
    return shown | {"promoted": True, "state": "ready", "reruns": 0, "aliases": []} | more


def test_the_lineage_is_a_line_with_its_branches_beside_it(scripted: Scripted) -> None:
    nodes = [node(n, reruns=3 - n) for n in (1, 2, 3)]
    nodes += [node(4, aliases=["champion"]), node(5, promoted=False)]
    edges = [{"source": s, "target": t} for s, t in ((1, 2), (2, 3), (1, 4), (4, 5))]
    scripted.answers = [told({"versions": 5, "nodes": nodes, "edges": edges})]
    assert lure(scripted, "lineage", "digits").output.splitlines() == [
        "digits: 5 versions",
        "1: accuracy 0.9000, lure, passed, promoted, run again 2 times",
        "├─ 2: accuracy 0.9000, lure, passed, promoted, run again once",
        "│  3: accuracy 0.9000, lure, passed, promoted",
        "4: accuracy 0.9000, lure, passed, promoted  <- champion",
        "5: accuracy 0.9000, lure, passed",
    ]


def test_a_lineage_as_old_as_the_hills_is_drawn_too(scripted: Scripted) -> None:
    nodes = [node(version) for version in range(1, 2001)]
    edges = [{"source": version, "target": version + 1} for version in range(1, 2000)]
    scripted.answers = [told({"versions": 2000, "nodes": nodes, "edges": edges})]
    assert len(lure(scripted, "lineage", "digits").output.splitlines()) == 2001


def test_text_for_mermaid_goes_through_as_it_came(scripted: Scripted) -> None:
    scripted.answers = [Answer(200, b"flowchart LR\n  v1 --> v2\n")]
    ended = lure(scripted, "lineage", "digits", "--format", "mermaid")
    assert ended.output == "flowchart LR\n  v1 --> v2\n"
    assert "format=mermaid" in scripted.requests[0].path


def test_a_drawing_is_no_json_document(scripted: Scripted) -> None:
    ended = lure(scripted, "lineage", "digits", "--format", "dot", "--json")
    assert (ended.exit_code, scripted.requests) == (2, [])


def test_metrics_end_with_whether_unlearning_was_worth_it(scripted: Scripted) -> None:
    point = {
        "version": 2,
        "positions": [2, 3],
        "images": 100,
        "prequential_accuracy": 0.81,
        "accuracy": 0.92,
        "cumulative_error": {"count": 8, "share": 0.08},
        "forgetting": None,
        "seconds": 3.21,
        "outcome": "passed",
        "promoted": True,
    }
    live = {
        "version": 2,
        "labelled": 10,
        "correct": 8,
        "accuracy": {"value": 0.8, "low": 0.49, "high": 0.94},
    }
    judgement = {
        "method": "scratch",
        "versions": 1,
        "own": {"accuracy": 0.92, "seconds": 3.0},
        "other": {"accuracy": 0.91, "seconds": 4.0},
        "worth_it": "too few to tell",
        "words": "1 compared with scratch: …",
    }
    counterfactual = {"judgements": [judgement], "comparisons": []}
    scripted.answers = [told({"curve": [point], "live": [live], "counterfactual": counterfactual})]
    output = lure(scripted, "metrics", "digits", "--last", "5").output
    for words in (
        "2, 3",
        "0.8100",
        "0.0800",
        "3.2",
        "passed, promoted",
        "0.4900 to 0.9400",
        "0.9100",
    ):
        assert words in output
    assert output.endswith("worth it? too few to tell: 1 compared with scratch: …\n")
    assert scripted.requests[0].path == "/v1/streams/digits/metrics?limit=5"


def test_unlearning_writes_picture_and_mask(scripted: Scripted, tmp_path: Path) -> None:
    scripted.answers = [told(REPORT), Answer(200, b"<svg/>"), Answer(200, b"\xf0")]
    svg, mask = tmp_path / "kept.svg", tmp_path / "mask.bin"
    ended = lure(scripted, "unlearning", "digits", "2", "--svg", str(svg), "--mask", str(mask))
    assert (svg.read_bytes(), mask.read_bytes()) == (b"<svg/>", b"\xf0")
    assert "lure reset 160 of 640 weights, 75.0% were kept" in ended.output
    assert "50.0% of them had been reset for version 1 too; 25.0% by chance" in ended.output


def test_nothing_is_written_unless_all_of_it_was_given(scripted: Scripted, tmp_path: Path) -> None:
    scripted.answers = [told(REPORT), Answer(200, b"<svg/>"), told({"title": "No mask"}, 404)]
    files = ("--svg", str(tmp_path / "kept.svg"), "--mask", str(tmp_path / "mask.bin"))
    ended = lure(scripted, "unlearning", "digits", "2", *files)
    assert (str(ended.exception), list(tmp_path.iterdir())) == ("No mask", [])


@pytest.mark.parametrize("option", ["--svg", "--mask"])
def test_a_file_that_cannot_be_written_is_told_in_words(
    scripted: Scripted, tmp_path: Path, option: str
) -> None:
    scripted.answers = [told(REPORT), Answer(200, b"bytes")]
    ended = lure(scripted, "unlearning", "digits", "2", option, str(tmp_path))
    assert isinstance(ended.exception, LureError)
    assert str(ended.exception) == f"{tmp_path} cannot be written: Is a directory"


def test_status_tells_what_each_replica_serves(scripted: Scripted) -> None:
    stream = {"name": "digits", "architecture": "mlp", "champion": 4, "created_at": "2026"}
    empty = told({"items": [], "next_page_token": None})
    scripted.answers = [told(stream | {"replicas": {"b": 4, "c": None, "a": 3}}), empty]
    lines = lure(scripted, "status", "digits").output.splitlines()
    assert [line for line in lines if line.startswith("replica")] == [
        "replica a serves version 3",
        "replica b serves version 4",
        "replica c serves nothing yet",
    ]


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ({"outcome": "passed", "promoted": True}, "passed, promoted"),
        ({"outcome": "failed", "promoted": False, "held": True}, "failed, held back"),
        ({"outcome": "passed", "promoted": False, "awaits": "person"}, "passed, awaits a person"),
        ({}, "-"),
    ],
)
def test_versions_tell_the_verdict(scripted: Scripted, verdict: dict[str, Any], words: str) -> None:
    version = node(1, verdict=verdict, metrics={"accuracy": 0.9}, created_at="2026")
    scripted.answers = [told({"items": [version], "next_page_token": None})]
    assert words in lure(scripted, "versions", "digits").output
