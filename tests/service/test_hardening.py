from __future__ import annotations

import base64
import hashlib
import re

import httpx
import pytest

from service.hardening import _of_docs


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/livez"),
        ("GET", "/v1/streams"),
        ("GET", "/v1/streams/nowhere"),
        ("GET", "/nowhere"),
        ("DELETE", "/livez"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
    ],
)
def test_every_answer_has_the_headers(client: httpx.Client, method: str, path: str) -> None:
    headers = client.request(method, path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers


def test_the_page_of_the_api_may_run_its_own_script_only(client: httpx.Client) -> None:
    answer = client.get("/docs")
    policy = answer.headers["content-security-policy"]
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe" not in scripts
    used = re.findall(r'(?:src|href)="(https://[^/"]+)', answer.text)
    assert used
    assert all(origin in policy for origin in used)
    # FastAPI's page is the one that the policy was made for
    assert _of_docs("LURE").decode() == policy
    for script in re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL):
        assert _digest(script) in scripts


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def test_pages_of_other_sites_get_no_permission(client: httpx.Client) -> None:
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = client.options("/v1/streams", headers=asked)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control-")]
