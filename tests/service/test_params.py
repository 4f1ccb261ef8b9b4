"""Parameters that many endpoints share, at their ends."""

from __future__ import annotations

import httpx
import pytest

LISTS = ["versions", "chunks", "cycles", "reruns"]


@pytest.mark.parametrize("what", LISTS)
def test_a_list_takes_every_page_token_that_its_pattern_allows(
    client: httpx.Client, stream: str, what: str
) -> None:
    answer = client.get(f"/v1/streams/{stream}/{what}", params={"page_token": "9" * 18})
    assert (answer.status_code, answer.json()["items"]) == (200, [])
