"""Labels from the command line and from Python."""

from __future__ import annotations

import json
from pathlib import Path

from lure.client import Client
from tests.lure.conftest import Answer, Scripted
from tests.lure.test_cli import DONE, FAILED, MISTAKE, lure


def outcome(name: str, outcome: str = "accepted", detail: str | None = None) -> dict[str, object]:
    reason = None if detail is None else "unknown"
    return {"prediction_id": name, "outcome": outcome, "reason": reason, "detail": detail}


def answer(*items: dict[str, object]) -> Answer:
    return Answer(200, json.dumps({"items": items}).encode())


def test_labels_come_from_arguments_and_from_a_file(scripted: Scripted, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text('prediction_id,label\nprd_3,"a, b"\n')
    scripted.answers = [answer(*(outcome(f"prd_{n}") for n in (1, 2, 3)))]
    given = ("prd_1=cat", "prd_2=x=y", "--file", str(table))
    ended = lure("feedback", "digits", *given, url=scripted.url)
    assert (ended.returncode, ended.stdout) == (DONE, "3 accepted\n")
    assert scripted.requests[0].path == "/v1/streams/digits/feedback"
    assert json.loads(scripted.requests[0].body) == [
        {"prediction_id": "prd_1", "label": "cat"},
        {"prediction_id": "prd_2", "label": "x=y"},
        {"prediction_id": "prd_3", "label": "a, b"},
    ]


def test_what_is_refused_is_named_and_exits_with_1(scripted: Scripted) -> None:
    refused = outcome("prd_2", "refused", "there is no record of it")
    scripted.answers = [answer(outcome("prd_1"), refused)]
    ended = lure("feedback", "digits", "prd_1=cat", "prd_2=dog", url=scripted.url)
    assert (ended.returncode, ended.stdout) == (FAILED, "1 accepted, 1 refused\n")
    assert ended.stderr == "lure: prd_2: there is no record of it\n"


def test_labels_without_a_prediction_are_a_mistake(tmp_path: Path) -> None:
    assert lure("feedback", "digits").returncode == MISTAKE
    assert lure("feedback", "digits", "cat").returncode == MISTAKE
    assert lure("feedback", "digits", "--file", str(tmp_path / "none")).returncode == MISTAKE
    (tmp_path / "other.csv").write_text("file,label\na,b\n")
    assert lure("feedback", "digits", "--file", str(tmp_path / "other.csv")).returncode == MISTAKE


def test_many_labels_are_several_requests(client: Client, scripted: Scripted) -> None:
    scripted.answers = [answer(*[outcome("a")] * 1000), answer(outcome("b", "duplicate"))]
    outcomes = client.feedback("digits", [("prd", "cat")] * 1001)
    assert [len(json.loads(request.body)) for request in scripted.requests] == [1000, 1]
    assert (len(outcomes), outcomes[-1]["outcome"]) == (1001, "duplicate")
