"""`lure doctor`: asks three, side by side, and none waits for another.

`python -m store.admin doctor` looks at the machine, the servers and the rows, `python -m
worker.doctor` at torch and the GPU; the API is asked over HTTP.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import TypedDict

import httpx

STORE_S, TORCH_S, API_S = 60.0, 120.0, 5.0  # torch from a cold disk takes its time

_API = "api"


class Finding(TypedDict):
    """One line of the table; `state` is ok, warning, failure or skipped."""

    name: str
    state: str
    found: str
    remedy: str


def examine(env: Mapping[str, str], url: str, *, named: bool) -> list[Finding]:
    """All findings, those of the store first.

    Args:
        env: The settings of the processes that are looked at.
        url: Where the API should answer.
        named: Whether somebody said so; else nothing may be meant to answer there.
    """
    with ThreadPoolExecutor(3) as pool:
        asked = [
            pool.submit(_process, "store", ("store.admin", "doctor", "--json"), env, STORE_S),
            pool.submit(_process, "torch", ("worker.doctor",), env, TORCH_S),
            pool.submit(_api, url, named=named),
        ]
        return [finding for one in asked for finding in one.result()]


def failed(found: Sequence[Finding]) -> bool:
    """Whether there is a failure among them."""
    return any(finding["state"] == "failure" for finding in found)


def _process(
    name: str, words: Sequence[str], env: Mapping[str, str], timeout_s: float
) -> list[Finding]:
    argv = [sys.executable, "-P", "-m", *words]
    try:
        ended = subprocess.run(  # noqa: S603
            argv, env=env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        found: list[Finding] = json.loads(ended.stdout)
    except subprocess.TimeoutExpired:
        return [_failure(name, f"no answer within {timeout_s:.0f} s", f"try {' '.join(argv[1:])}")]
    except ValueError:
        last = (ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"])[-1]
        return [_failure(name, last, f"try {' '.join(argv[1:])}")]
    return found


def _api(url: str, *, named: bool) -> list[Finding]:
    try:
        with httpx.Client(base_url=url, timeout=API_S, trust_env=False) as client:
            ready = client.get("/readyz")
            server = client.get("/v2")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        words = f"no answer at {url}: {error}"
        if named:
            return [_failure(_API, words, "start the API, or correct LURE_URL; see its log")]
        return [_warning(_API, words, "name it with --url or LURE_URL")]
    return [_readiness(url, ready), *_release(server)]


def _readiness(url: str, answer: httpx.Response) -> Finding:
    told = _members(answer)
    degraded = told.get("degraded")
    away = ", ".join(map(str, degraded)) if isinstance(degraded, list) else ""
    if answer.status_code == httpx.codes.OK and away:
        return _warning(_API, f"{url} answers; away: {away}", "see the findings about these")
    if answer.status_code == httpx.codes.OK:
        return _ok(_API, f"{url} is ready")
    words = f"{url} is not ready, {answer.status_code}" + (f": {away}" if away else "")
    return _failure(_API, words, "see its log")


def _release(answer: httpx.Response) -> list[Finding]:
    name, told = "api, release", _members(answer).get("version")
    if told is None:
        return [_skipped(name, f"it does not tell, {answer.status_code}")]
    ours = metadata.version("lure")
    if told != ours:
        remedy = "finish the upgrade; two releases side by side are borne, more are not"
        return [_warning(name, f"{told}, and this is {ours}", remedy)]
    return [_ok(name, str(told))]


def _members(answer: httpx.Response) -> dict[str, object]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _ok(name: str, found: str) -> Finding:
    return Finding(name=name, state="ok", found=found, remedy="")


def _warning(name: str, found: str, remedy: str) -> Finding:
    return Finding(name=name, state="warning", found=found, remedy=remedy)


def _failure(name: str, found: str, remedy: str) -> Finding:
    return Finding(name=name, state="failure", found=found, remedy=remedy)


def _skipped(name: str, found: str) -> Finding:
    return Finding(name=name, state="skipped", found=found, remedy="")
