"""The command line, as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .conftest import Answer, Scripted

DONE, FAILED, MISTAKE, UNREACHABLE = 0, 1, 2, 3


def lure(*arguments: str, url: str = "", columns: int = 80) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lure", *arguments],
        env={**os.environ, "LURE_URL": url, "COLUMNS": str(columns)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_json_is_one_document_the_services_answer(scripted: Scripted) -> None:
    page = {"items": [{"version": 1, "more": "é"}], "next_page_token": None}
    scripted.answers = [Answer(200, json.dumps(page).encode())]
    ended = lure("versions", "digits", "--json", url=scripted.url)
    assert ended.returncode == DONE
    assert json.loads(ended.stdout) == page
    assert ended.stderr == ""


def test_the_url_may_stand_before_or_after_the_command(scripted: Scripted) -> None:
    scripted.answers = [Answer(200, b'{"items": [], "next_page_token": null}')]
    assert lure("--url", scripted.url, "streams", url="http://127.0.0.1:9").returncode == DONE
    assert lure("streams", "--url", scripted.url, url="http://127.0.0.1:9").returncode == DONE


def test_a_refusal_goes_to_stderr_and_exits_with_1(scripted: Scripted) -> None:
    scripted.answers = [Answer(409, b'{"title": "No version yet", "detail": "push a chunk"}')]
    ended = lure("rollback", "digits", url=scripted.url)
    assert (ended.returncode, ended.stdout) == (FAILED, "")
    assert ended.stderr == "lure: No version yet: push a chunk\n"


def test_a_single_fault_is_told_once(scripted: Scripted) -> None:
    fault = {"pointer": "query:version", "detail": "a number, or @ and an alias"}
    problem = {"title": "No", "detail": ": ".join(fault.values()), "errors": [fault]}
    scripted.answers = [Answer(422, json.dumps(problem).encode())]
    ended = lure("versions", "digits", url=scripted.url)
    assert ended.stderr == "lure: No: query:version: a number, or @ and an alias\n"


def test_no_service_exits_with_3_and_says_what_to_do() -> None:
    ended = lure("status", url="http://127.0.0.1:9")
    assert ended.returncode == UNREACHABLE
    assert "lure up" in ended.stderr


def test_a_mistake_on_the_command_line_exits_with_2() -> None:
    assert lure("create", "x", "--input", "8x8").returncode == MISTAKE
    assert lure("create", "x", "--policy", "replay=buffer").returncode == MISTAKE


def test_pushing_to_no_stream_names_the_command_that_makes_it(
    scripted: Scripted, tmp_path: Path
) -> None:
    scripted.answers = [Answer(404, b'{"title": "Unknown stream"}')]
    (tmp_path / "chunk.zip").write_bytes(b"zip")
    ended = lure("push", "digits", str(tmp_path / "chunk.zip"), url=scripted.url)
    assert ended.returncode == FAILED
    assert "lure create digits" in ended.stderr
    assert len(scripted.requests) == 1


def test_create_sends_what_was_given_and_nothing_else(scripted: Scripted) -> None:
    scripted.answers = [Answer(201, b'{"name": "x", "architecture": "resnet20s"}')]
    given = ("--architecture", "resnet20s", "--input", "1x8x8", "--recipe", "epochs=3")
    more = ("--recipe", "augmentation=crop", "--classes", "a,b")
    assert lure("create", "x", *given, *more, url=scripted.url).returncode == DONE
    assert json.loads(scripted.requests[0].body) == {
        "name": "x",
        "architecture": "resnet20s",
        "input": {"channels": 1, "height": 8, "width": 8},
        "recipe": {"epochs": 3, "augmentation": "crop"},
        "classes": ["a", "b"],
    }


def test_create_takes_names_of_recipes_open_classes_and_policies(scripted: Scripted) -> None:
    scripted.answers = [Answer(201, b'{"name": "x", "architecture": "resnet18"}')]
    given = ("--recipe", "frugal", "--recipe", "epochs=3", "--classes", "open")
    policies = ("replay.kind=buffer", "replay.capacity=500", "unlearn.strategy=fire")
    more = [part for policy in policies for part in ("--policy", policy)]
    assert lure("create", "x", *given, *more, url=scripted.url).returncode == DONE
    assert json.loads(scripted.requests[0].body) == {
        "name": "x",
        "recipe": {"name": "frugal", "epochs": 3},
        "classes": "open",
        "policies": {
            "replay": {"kind": "buffer", "capacity": 500},
            "unlearn": {"strategy": "fire"},
        },
    }


def test_a_long_final_line_is_not_wrapped(scripted: Scripted) -> None:
    alias = {"alias": "champion", "version": 1, "hold": True}
    scripted.answers = [Answer(200, json.dumps(alias).encode())]
    ended = lure("rollback", "a-stream-with-a-long-name", url=scripted.url, columns=20)
    assert len(ended.stdout.splitlines()) == 1
    assert "lure release a-stream-with-a-long-name" in ended.stdout
