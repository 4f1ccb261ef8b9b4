"""The files of the deployment, as the tests read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from service.settings import ServiceSettings
from store.settings import StoreSettings
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
COMPOSE = sorted(ROOT.glob("docker-compose*.yml"))
OWN = ("init", "migrate", "api", "admit", "learn", "beat")  # LURE's services

_LINE = re.compile(r"^#?([A-Z][A-Z0-9_]*)=(.*)$")
_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+)(?::?[-?][^}]*)?\}")


def compose(name: str = "docker-compose.yml") -> dict[str, Any]:
    """One of the compose files."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return loaded


def variables() -> set[str]:
    """What `.env` can say to the compose files, beside the settings that are passed on."""
    return {name for path in COMPOSE for name in _VARIABLE.findall(path.read_text())}


def example() -> dict[str, str]:
    """The lines of `.env.example`, those behind a # too."""
    found = map(_LINE.match, (ROOT / ".env.example").read_text().splitlines())
    pairs = [line.groups() for line in found if line]
    assert len(dict(pairs)) == len(pairs), "a setting is there twice"
    return dict(pairs)


def settings(*classes: type[StoreSettings]) -> set[str]:
    """The variables of some settings classes; of all by default."""
    chosen = classes or (StoreSettings, ServiceSettings, WorkerSettings)
    return {f"LURE_{name.upper()}" for one in chosen for name in one.model_fields}
