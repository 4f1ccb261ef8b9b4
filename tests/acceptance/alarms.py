"""A real Prometheus with the project's own rules, made impatient, for a test's world.

What is changed of the rules, and nothing else: `for` is nothing, ranges are of seconds, and
thresholds that are minutes or counts become those in `SOONER`, which must stand in their rules.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import yaml

from lure.processes import Child, Spec
from tests.acceptance.world import World, wait_for
from tests.deploy.files import PROMETHEUS
from tests.ports import free_port

WINDOW = "15s"
SOONER = {
    "LureWorkerSilent": [("> 30", "> 1")],
    "LureNotSwept": [("> 120", "> 2")],
    "LureGarbageNotCollected": [("> 3600", "> 2")],
    "LureCycleHeartbeatStale": [("> 60", "> 1")],
    "LureCycleStuck": [("> 1800", "> 60"), ("> 21600", "> 2")],
    "LureChunkWaits": [("> 14400", "> 3")],
    "LureChunksRejected": [("> 2", "> 0.5")],
    "LureWebhookFailing": [("> 3600", "> 2")],
    "LureGateRefuses": [("> 2.5", "> 0.5")],
}


def impatient(rules: dict[str, Any]) -> dict[str, Any]:
    """The rules with shorter times; see above."""
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule.pop("for", None)
        for long, soon in SOONER.get(rule["alert"], []):
            assert rule["expr"].count(long) == 1, rule["alert"]
            rule["expr"] = rule["expr"].replace(long, soon)
        rule["expr"] = re.sub(r"\[\w+\]", f"[{WINDOW}]", rule["expr"])
    return rules


def worker(world: World, queue: str) -> Child:
    """One that gives way to nobody: its learning is waited for."""
    argv = ("worker", "worker", "-Q", queue, "-c", "1", "-n", f"{queue}@%h")
    return world.start(queue, *argv, LURE_NICE="0")


class Alarms:
    """Prometheus over the APIs of a world."""

    def __init__(self, world: World) -> None:
        program = shutil.which("prometheus")
        if program is None:
            pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
        self._world = world
        self._folder = world.folder / "prometheus"
        self._folder.mkdir()
        self._urls: list[str] = []
        port = free_port()
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10)
        rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
        self._write("alerts.yml", yaml.safe_dump(impatient(rules)))
        self._write("prometheus.yml", yaml.safe_dump(_CONFIGURATION))
        self._write("targets.json", "[]")
        words = ("config.file=prometheus.yml", "storage.tsdb.path=data")
        listen = f"web.listen-address=127.0.0.1:{port}"
        argv = (program, *(f"--{word}" for word in (*words, listen)))
        log = self._folder / "log"
        self.child = Child(Spec("prometheus", _within(self._folder, argv), log))
        self.child.start()
        wait_for(self._ready, "Prometheus", world)

    def watch(self, *urls: str) -> None:
        """Ask these APIs, and no others, from now on."""
        targets = [url.removeprefix("http://") for url in urls]
        self._write("targets.json", json.dumps([{"targets": targets}]))
        wait_for(lambda: self._asked() == set(targets), "Prometheus to ask them", self._world)

    def fired(self, alert: str, *, since: float, **labels: str) -> bool:
        """Whether it has fired since that moment (`time.monotonic()`), with the labels it has."""
        seconds = max(1, int(time.monotonic() - since))
        told = self._query(f'ALERTS{{alertname="{alert}", alertstate="firing"}}[{seconds}s]')
        return any(
            all(one["metric"].get(name, value) == value for name, value in labels.items())
            for one in told
        )

    def wait_fired(self, alert: str, *, since: float, **labels: str) -> None:
        """Some pass as they came, while another is waited for."""
        wait_for(
            lambda: self.fired(alert, since=since, **labels), f"{alert} for {labels}", self._world
        )

    def wait_seen(self, query: str) -> None:
        """Until Prometheus has series for which that holds."""
        wait_for(lambda: bool(self._query(query)), query, self._world)

    def wait_silent(self, alert: str) -> None:
        def is_silent() -> bool:
            told = self._http.get("/alerts").json()["data"]["alerts"]
            return not any(one["labels"]["alertname"] == alert for one in told)

        wait_for(is_silent, f"end of {alert}", self._world)

    def close(self) -> None:
        self._http.close()
        self.child.kill()

    def _query(self, query: str) -> list[dict[str, Any]]:
        answer = self._http.get("/query", params={"query": query}).json()
        return cast(list[dict[str, Any]], answer["data"]["result"])

    def _ready(self) -> bool:
        assert self.child.running, self.child.tail()
        try:
            return self._http.get("/status/buildinfo").status_code == 200
        except httpx.TransportError:
            return False

    def _asked(self) -> set[str]:
        active = self._http.get("/targets").json()["data"]["activeTargets"]
        return {one["labels"]["instance"] for one in active if one["health"] != "unknown"}

    def _write(self, name: str, text: str) -> None:
        fresh = self._folder / f"{name}.fresh"
        fresh.write_text(text)
        fresh.replace(self._folder / name)


_CONFIGURATION = {
    "global": {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "500ms",
    },
    "rule_files": ["alerts.yml"],
    "scrape_configs": [
        {
            "job_name": "lure",
            "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}],
        }
    ],
}


def _within(folder: Path, argv: tuple[str, ...]) -> tuple[str, ...]:
    return ("/usr/bin/env", "-C", str(folder), *argv)
