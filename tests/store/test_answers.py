"""An idempotency key is answered once."""

from __future__ import annotations

import threading

import pytest

from store import answers
from store.engine import Database
from store.errors import KeyReused
from store.models import Answer


def answer(body: str = "a", fingerprint: str = "f") -> Answer:
    return Answer(
        scope="s", key="k", fingerprint=fingerprint, status=202, location="/x", body={"is": body}
    )


def test_a_new_key_has_no_answer(database: Database) -> None:
    with database.begin() as session:
        assert answers.find(session, scope="s", key="k", fingerprint="f") is None


def test_the_same_payload_gets_the_stored_answer(database: Database) -> None:
    with database.begin() as session:
        answers.keep(session, answer())
    with database.begin() as session:
        found = answers.find(session, scope="s", key="k", fingerprint="f")
    assert found is not None
    assert (found.status, found.location, found.body) == (202, "/x", {"is": "a"})


def test_another_payload_is_refused(database: Database) -> None:
    with database.begin() as session:
        answers.keep(session, answer())
    with database.begin() as session, pytest.raises(KeyReused):
        answers.find(session, scope="s", key="k", fingerprint="other")


def test_of_two_at_once_the_second_gets_the_answer_of_the_first(database: Database) -> None:
    kept: list[str] = []
    first_is_in = threading.Event()

    def second() -> None:
        first_is_in.wait(10)
        with database.begin() as session:
            kept.append(answers.keep(session, answer("second")).body["is"])

    thread = threading.Thread(target=second)
    thread.start()
    with database.begin() as session:
        answers.keep(session, answer("first"))
        first_is_in.set()
    thread.join()
    assert kept == ["first"]
