"""`lure reproduce`, in front of a service that says what the test wants."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Answer, Scripted
from .test_cli import DONE, FAILED, lure

MADE = {
    "strategy": "lure",
    "metrics": {"accuracy": 0.95},
    "environment": {"timings": {"unlearn": 1.0, "relearn": 2.0, "evaluate": 9.0}},
}
SAME = {
    "identical": True,
    "digest": "sha256:abc",
    "tensors": None,
    "differing_tensors": None,
    "max_difference": None,
    "agreement": None,
    "circumstances": {},
    "metrics": {"accuracy": 0.9},
    "timings": {"relearn": 1.5},
}
DIFFERENT = SAME | {
    "identical": False,
    "tensors": 60,
    "differing_tensors": 2,
    "max_difference": 1.25e-7,
    "agreement": 0.998,
    "circumstances": {"threads": {"before": 1, "now": 2}},
}
FORGOTTEN = SAME | {"identical": False}
WORDS = {
    "same": "digits: version 3 came out bit-identical, sha256:abc\n",
    "different": "digits: version 3 came out otherwise: 2 of 60 tensors differ, by 1.2e-07 at most;"
    " 99.80% of the judge images are answered alike\n  threads was 1, is 2\n",
    "forgotten": "digits: version 3 came out otherwise; by how much cannot be told, its weights are"
    " deleted\n",
}


def script(scripted: Scripted, result: dict[str, Any] | None, **more: Any) -> None:
    """A service that has the rerun wait once, and then gives its result."""
    rerun = {"id": "rer_1", "state": "running", "result": None, "error": None}
    over = rerun | {"state": "succeeded", "result": result} | more
    told = [(202, rerun), (200, rerun), (200, over), (200, MADE)]
    scripted.answers = [Answer(status, json.dumps(body).encode()) for status, body in told]


@pytest.mark.parametrize(
    ("name", "result", "code"),
    [("same", SAME, DONE), ("different", DIFFERENT, FAILED), ("forgotten", FORGOTTEN, FAILED)],
)
def test_it_waits_and_tells_whether_the_bits_are_the_same(
    scripted: Scripted, name: str, result: dict[str, Any], code: int
) -> None:
    script(scripted, result)
    ended = lure("reproduce", "digits", "3", url=scripted.url)
    assert (ended.returncode, ended.stdout) == (code, WORDS[name])
    asked, *looked, _ = scripted.requests
    assert asked.path == "/v1/streams/digits/versions/3:reproduce"
    assert asked.headers["idempotency-key"]
    assert {look.headers["prefer"] for look in looked} == {"wait=30"}


def test_another_method_is_set_beside_the_versions_own(scripted: Scripted) -> None:
    script(scripted, SAME | {"identical": None})
    ended = lure("reproduce", "digits", "3", "--method", "warm", url=scripted.url)
    assert ended.returncode == DONE
    assert json.loads(scripted.requests[0].body) == {"method": "warm"}
    assert ended.stdout == (
        "digits: version 3 by lure: accuracy 0.9500 after 3.0 s\n"
        "  by warm: accuracy 0.9000 after 1.5 s\n"
    )


def test_one_that_fails_is_told_with_its_reason(scripted: Scripted) -> None:
    script(scripted, None, state="failed", error="chunk chk_1 was retracted")
    ended = lure("reproduce", "digits", "3", url=scripted.url)
    assert ended.returncode == FAILED
    assert "version 3 could not be run again: chunk chk_1 was retracted\n" in ended.stderr
