"""Parameters that many endpoints share, at their ends."""

from __future__ import annotations

import httpx
import pytest

from tests.service.control import problem

LISTS = ["versions", "chunks", "cycles", "reruns"]


def test_what_misses_a_pattern_is_told_in_words(client: httpx.Client) -> None:
    asked = {"/v1/streams/No!": "lower-case letters", "/v2/models/x/versions/x.y": "@ and an alias"}
    for path, words in asked.items():
        detail = problem(client.get(path), 422)["detail"]
        assert words in detail
        assert "^" not in detail


@pytest.mark.parametrize("what", LISTS)
def test_a_list_takes_every_page_token_that_its_pattern_allows(
    client: httpx.Client, stream: str, what: str
) -> None:
    answer = client.get(f"/v1/streams/{stream}/{what}", params={"page_token": "9" * 18})
    assert (answer.status_code, answer.json()["items"]) == (200, [])
