from __future__ import annotations

import socket
import threading

import pytest

from store import webhooks
from worker.posting import Answer, Letter, Poster


def posted(*, timeout_s: float) -> Answer:
    secret = webhooks.new_secret()
    with Poster("http://hooks.example/", secret, timeout_s=timeout_s, private=False) as poster:
        return poster.post(Letter("evt_1", b"{}"))


def test_a_name_server_that_hangs_holds_nobody_past_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answers, gone = threading.Event(), threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        asked.set()
        answers.wait(30)
        gone.set()
        raise socket.gaierror("nobody knows")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    answer = posted(timeout_s=0.2)
    # the call is over, its loop is closed, and the name server is still thinking
    assert asked.is_set()
    assert not gone.is_set()
    assert answer.error == "no answer within 0.2 s"
    answers.set()
    assert gone.wait(30)


def test_a_name_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror("nobody knows")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    answer = posted(timeout_s=20)
    assert (answer.status, answer.error) == (None, "gaierror: nobody knows")
