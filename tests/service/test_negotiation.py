from __future__ import annotations

import pytest

from service.negotiation import preferred

OFFERED = ("application/json", "image/svg+xml", "text/plain")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("image/svg+xml", "image/svg+xml"),
        ("image/avif,image/*;q=0.8,*/*;q=0.5", "image/svg+xml"),
        ("application/json;q=0, */*", "image/svg+xml"),
        ("text/*, application/json;q=0.9", "text/plain"),
        ("TEXT/PLAIN;charset=utf-8;q=1", "text/plain"),
        ("text/plain;q=rubbish, application/json;q=0.1", "application/json"),
        ("video/mp4", "application/json"),
        (";;,,q=", "application/json"),
    ],
)
def test_the_kind_that_weighs_most_is_chosen(accept: str | None, chosen: str) -> None:
    assert preferred(accept, OFFERED) == chosen
