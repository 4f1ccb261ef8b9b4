"""`.env.example` tells every setting, nothing else, and what each is when nothing is said."""

from __future__ import annotations

import pytest

from service.settings import ServiceSettings
from store.settings import StoreSettings
from tests.deploy import reading
from worker.settings import WorkerSettings

CLIENT = {"LURE_URL", "LURE_API_KEY"}
OF_COMPOSE = {"COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"}
OF_CONTAINERS = {"LURE_ADMIT_PROCESSES"}  # read by deploy/compose/entry
# said by the compose file, whatever .env says
FIXED = {"LURE_CACHE", "LURE_HOST", "LURE_PORT", "LURE_SECRETS_DIR"}


def test_every_setting_is_there() -> None:
    wanted = reading.settings() | reading.variables()

    missing = wanted - reading.example().keys()

    assert not missing, (
        f".env.example lacks {sorted(missing)}: write what each is for, and the line"
        " `#NAME=default` (or an example, where there is no default)"
    )


def test_nothing_is_there_that_is_no_setting() -> None:
    known = reading.settings() | reading.variables() | CLIENT | OF_COMPOSE | OF_CONTAINERS

    assert not reading.example().keys() - known, "no process and no compose file reads these"


@pytest.mark.parametrize("of", [StoreSettings, ServiceSettings, WorkerSettings])
def test_what_is_said_behind_the_hash_is_the_default(
    of: type[StoreSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = reading.example()
    defaults = {
        name: field.default
        for name, field in of.model_fields.items()
        if not field.is_required() and field.default is not None
    }
    if of is ServiceSettings:
        told["LURE_THREADS"] = told["LURE_API_THREADS"]
    for name in of.model_fields:
        variable = f"LURE_{name.upper()}"
        if name in defaults or of.model_fields[name].is_required():
            monkeypatch.setenv(variable, told.get(variable, ""))
        else:
            monkeypatch.delenv(variable, raising=False)

    settings = of()

    assert {name: getattr(settings, name) for name in defaults} == defaults


@pytest.mark.parametrize(
    ("service", "of"),
    [
        ("migrate", WorkerSettings),
        ("api", ServiceSettings),
        ("admit", WorkerSettings),
        ("learn", WorkerSettings),
        ("beat", WorkerSettings),
    ],
)
def test_compose_passes_every_setting_on_to_who_has_it(
    service: str, of: type[StoreSettings]
) -> None:
    passed = reading.compose()["services"][service]["environment"]
    wanted = reading.settings(of)

    missing = wanted - passed.keys()
    assert not missing, (
        f"docker-compose.yml passes {sorted(missing)} to nobody: add `NAME:` to"
        " x-shared-settings, x-service-settings or x-worker-settings"
    )
    foreign = {name for name in passed if name.startswith("LURE_")} - wanted - OF_CONTAINERS
    assert not foreign, f"{service} has no such settings"


def test_only_what_containers_decide_is_fixed() -> None:
    fixed = {
        name
        for service in reading.OWN
        for name, value in reading.compose()["services"][service].get("environment", {}).items()
        if value is not None and not str(value).startswith("${")
    }

    assert fixed == FIXED
