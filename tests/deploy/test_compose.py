"""What must hold of the compose files, read as they are and by docker-compose where it is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any

import pytest

from tests.deploy import reading

NEWER_THAN_2021 = {
    *("annotations", "attach", "credential_spec", "develop", "gpus", "label_file", "models"),
    *("post_start", "pre_stop", "provider", "use_api_socket", "uts"),
}
SERVERS = ("postgres", "redis", "s3")
OBSERVERS = ("prometheus", "grafana")
# what an override is there for
OTHERWISE = {("docker-compose.gpu.yml", "LURE_DEVICE"), ("docker-compose.s3.yml", "LURE_BLOBS")}
TO_DROP_ROOT = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}


def services(name: str = "docker-compose.yml") -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = reading.compose(name)["services"]
    return found


@pytest.mark.parametrize("name", reading.OWN)
def test_lures_containers_can_do_nothing_that_they_need_not(name: str) -> None:
    service = services()[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert "privileged" not in service
    assert "user" not in service  # the image's own, which is not root
    assert [line.split(":")[0] for line in service["tmpfs"]] == ["/tmp"]


@pytest.mark.parametrize("name", [*SERVERS, *OBSERVERS])
def test_the_others_gain_no_privileges_either(name: str) -> None:
    service = services()[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service.get("cap_add", [])) <= {
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "SETGID",
        "SETUID",
    }


def test_only_loopback_is_published_and_no_worker_at_all() -> None:
    published = {name: one["ports"] for name, one in services().items() if "ports" in one}

    assert published.keys() == {"api", *OBSERVERS}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert published["api"] == ["127.0.0.1:${LURE_PORT:-8000}:8000"]


@pytest.mark.parametrize("path", reading.COMPOSE, ids=lambda path: path.name)
def test_every_image_can_be_replaced(path: Any) -> None:
    for name, service in services(path.name).items():
        if "image" in service or path.name == "docker-compose.yml":
            assert re.fullmatch(r"\$\{[A-Z0-9_]+_IMAGE:-[^}]+:[^}]+\}", service["image"]), name


def test_the_order_of_starting() -> None:
    waits = {
        name: {on: how["condition"] for on, how in service["depends_on"].items()}
        for name, service in services().items()
        if isinstance(service.get("depends_on"), dict)
    }
    done, healthy = "service_completed_successfully", "service_healthy"

    assert waits["postgres"] == waits["redis"] == waits["s3"] == {"init": done}
    assert waits["migrate"] == {"postgres": healthy}
    for name in ("api", "admit", "learn", "beat"):
        assert waits[name] == {"migrate": done, "redis": healthy}
    assert waits["prometheus"] == {"api": healthy}
    assert "depends_on" not in services()["init"]


def test_what_runs_is_started_again_and_what_is_done_is_not() -> None:
    again = {name: service["restart"] for name, service in services().items()}

    assert {name for name, how in again.items() if how == "no"} == {"init", "migrate"}
    assert set(again.values()) == {"no", "unless-stopped"}


@pytest.mark.parametrize("name", list(services()))
def test_everything_is_bounded(name: str) -> None:
    service = services()[name]

    assert service["mem_limit"]
    assert isinstance(service["pids_limit"], int)  # docker-compose 1.29 takes no variable here
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


def test_a_cycle_has_the_time_to_save_itself() -> None:
    from_env = reading.example()

    assert float(from_env["LURE_LEARN_STOP"].removesuffix("s")) >= 4 * float(
        from_env["LURE_GRACE_S"]
    )
    assert services()["learn"]["stop_grace_period"] == "${LURE_LEARN_STOP:-120s}"


def test_open_requests_have_the_time_to_end() -> None:
    from_env = reading.example()

    assert float(from_env["LURE_API_STOP"].removesuffix("s")) >= 10 + float(
        from_env["LURE_SHUTDOWN_S"]
    )
    assert services()["api"]["stop_grace_period"] == "${LURE_API_STOP:-30s}"


@pytest.mark.parametrize("path", reading.COMPOSE, ids=lambda path: path.name)
def test_no_secret_is_written_down(path: Any) -> None:
    """No password in a URL, and none in a variable: those that there are name files."""
    assert not re.search(r"://[^/\s\"']*:[^/\s\"'$]+@", path.read_text())
    for name, service in services(path.name).items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY|TOKEN", variable) and value is not None:
                assert str(value).startswith(("/run/lure/", "${")), f"{name}: {variable}"


def test_each_secret_is_where_it_is_read_and_nowhere_else() -> None:
    readers: dict[str, set[str]] = {}
    for name, service in services().items():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.endswith("-secrets"):
                readers.setdefault(source, set()).add(name)
                assert name == "init" or rest.endswith(":ro"), f"{name} could change {source}"

    assert readers == {
        "postgres-secrets": {"init", "postgres"},
        "redis-secrets": {"init", "redis"},
        "worker-secrets": {"init", "migrate", "admit", "learn", "beat"},
        "api-secrets": {"init", "api"},
        "prometheus-secrets": {"init", "prometheus"},
        "grafana-secrets": {"init", "grafana"},
        "s3-secrets": {"s3"},  # written by `init` where docker-compose.s3.yml says so
    }


@pytest.mark.parametrize("name", [name for name in reading.OWN if name != "init"])
def test_what_must_be_written_can_be(name: str) -> None:
    """The root is read-only: each folder that a setting names is a volume, or memory."""
    service = services()[name]
    mounted = {volume.split(":")[1] for volume in service["volumes"]} | {"/tmp"}

    for variable in ("LURE_BLOBS", "LURE_CACHE", "LURE_SECRETS_DIR"):
        said = service["environment"][variable]
        assert said.removeprefix("${LURE_BLOBS:-").rstrip("}") in mounted, variable


def test_every_variable_has_one_default() -> None:
    """In all files, and in `.env.example`."""
    told = reading.example()
    for path in reading.COMPOSE:
        for name, default in re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)\}", path.read_text()):
            if (path.name, name) not in OTHERWISE:
                assert told[name] == default, f"{path.name}: {name}"


def test_the_servers_are_in_a_network_of_their_own() -> None:
    for network in ("back", "data"):
        assert reading.compose()["networks"][network] == {"internal": True}
    for name in SERVERS:
        assert services()[name]["networks"] == ["back", "data"]
    for name in OBSERVERS:
        assert "networks" not in services()[name]  # the default one, where only the API is
    assert services()["api"]["networks"] == ["data", "default"]
    for name in ("migrate", "admit", "learn", "beat"):
        assert services()[name]["networks"] == ["back", "work"]


def test_the_api_and_the_workers_share_no_network() -> None:
    """While a cycle runs in several ranks, they listen for each other without a password."""
    of_api = set(services()["api"]["networks"])
    for name in ("admit", "learn", "beat"):
        assert of_api.isdisjoint(services()[name]["networks"])


def test_redis_refuses_what_it_has_no_room_for() -> None:
    command = services()["redis"]["command"]

    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[:3] == ["redis-server", "--include", "/run/lure/redis.conf"]
    assert "--requirepass" not in command  # anybody on the host could read it


def test_profiles_hold_what_is_not_always_wanted() -> None:
    profiles = {name: one["profiles"] for name, one in services().items() if "profiles" in one}

    assert profiles == {"s3": ["s3"]} | {name: ["observability"] for name in OBSERVERS}


@pytest.mark.parametrize("path", reading.COMPOSE, ids=lambda path: path.name)
def test_nothing_is_newer_than_the_specification_of_2021(path: Any) -> None:
    loaded = reading.compose(path.name)

    top = {name for name in loaded if not name.startswith("x-")}
    assert top <= {"services", "networks", "volumes"}  # "name" came later
    for name, service in loaded["services"].items():
        assert not service.keys() & NEWER_THAN_2021, name
        assert "env_file" not in service, name  # its old form fails where the file is not there
        waits = service.get("depends_on", {})
        for how in waits.values() if isinstance(waits, dict) else []:
            assert how.keys() == {"condition"}, name  # "required" and "restart" came later
        assert "start_interval" not in service.get("healthcheck", {}), name
        assert not service.get("build", {}).keys() - {"context", "args"}, name


OVERRIDES = [(), *[(path.name,) for path in reading.COMPOSE if path.name != "docker-compose.yml"]]


@pytest.mark.parametrize("program", ["docker-compose", "docker compose"])
@pytest.mark.parametrize("overrides", OVERRIDES, ids=lambda names: "+".join(names) or "alone")
def test_docker_compose_understands_it(program: str, overrides: tuple[str, ...]) -> None:
    words = program.split()
    if (
        shutil.which(words[0]) is None
        or subprocess.run([*words, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"there is no `{program}` here")
    files = [word for name in ("docker-compose.yml", *overrides) for word in ("-f", name)]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}

    told = subprocess.run(
        [*words, *files, "--profile", "observability", "--profile", "s3", "config", "--quiet"],
        cwd=reading.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stderr
