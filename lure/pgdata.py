"""A PostgreSQL cluster's folder: who owns it, how it is made, how a server is run on it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lure import proc, programs
from lure.errors import EmbeddedError
from lure.processes import Spec, launch, tail
from lure.waiting import until

ROLE = DATABASE = "lure"
UNPRIVILEGED = ("postgres", "nobody")
PREVIOUS_ENDS_S = 10.0

# A small server for one machine. What keeps committed rows safe (fsync, full_page_writes,
# synchronous_commit) stays as PostgreSQL has it.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_checkpoints": "off",
}


def server_spec(data: Path, *, sockets: Path, log: Path) -> Spec:
    """How a server is run on an existing cluster."""
    major = int((data / "PG_VERSION").read_text())
    argv = [str(programs.postgres(major) / "postgres"), "-D", str(data), "-k", str(sockets)]
    for name, value in SETTINGS.items():
        argv += ["-c", f"{name}={value}"]
    return Spec(
        name="postgres",
        argv=tuple(argv),
        log=log,
        env=_environment(),
        owner=_owner(data),
        stop_signal=signal.SIGINT,  # "fast": ends connections, writes a checkpoint
        death_signal=signal.SIGQUIT,  # "immediate": ends its own children too, unlike SIGKILL
        stop_s=6.0,
    )


def create(data: Path, *, log: Path) -> None:
    """Makes a cluster with one database; `data` appears only when it is whole.

    Raises:
        EmbeddedError: initdb failed, or `data` holds something else.
    """
    if data.exists() and any(data.iterdir()):
        raise EmbeddedError(f"{data} holds something else than a PostgreSQL cluster")
    data.parent.mkdir(parents=True, exist_ok=True)
    partial = data.with_name(f".{data.name}.being-made")
    shutil.rmtree(partial, ignore_errors=True)  # left by a run that was killed meanwhile
    partial.mkdir(mode=0o700)
    owner = _unprivileged()
    if owner is not None:
        os.chown(partial, *owner)
    folder = programs.postgres()
    trust = ("--auth-local=trust", "--auth-host=reject", f"--username={ROLE}")
    text = ("--no-locale", "--encoding=UTF8")
    _run((str(folder / "initdb"), "-D", str(partial), *trust, *text), owner=owner, log=log)
    single = (str(folder / "postgres"), "--single", "-D", str(partial), "postgres")
    _run(single, owner=owner, log=log, stdin=f"CREATE DATABASE {DATABASE}\n")
    if data.exists():
        data.rmdir()
    partial.rename(data)


def end_previous(data: Path) -> None:
    """Makes way for a new server: no other one may run on `data`, and no pid file of one be left.

    Call it only as the one who owns the cluster by agreement (`lure up` holds a lock). A pid file
    after a crash may name a process that has nothing to do with it, and PostgreSQL would refuse
    to start for as long as that one lives.
    """
    file = data / "postmaster.pid"
    with suppress(FileNotFoundError, ValueError, IndexError):
        pid = int(file.read_text().split()[0])
        if proc.working_folder(pid) == data.resolve():
            _end(proc.family(pid))
        file.unlink()


def _end(family: Sequence[proc.Entry]) -> None:
    with suppress(ProcessLookupError):
        os.kill(family[0].pid, signal.SIGQUIT)
    if not until(lambda: not any(map(proc.alive, family)), timeout_s=PREVIOUS_ENDS_S):
        proc.kill(family)
        until(lambda: not any(map(proc.alive, family)), timeout_s=PREVIOUS_ENDS_S)


def _run(
    argv: tuple[str, ...], *, owner: tuple[int, int] | None, log: Path, stdin: str = ""
) -> None:
    spec = Spec(name=argv[0], argv=argv, log=log, env=_environment(), owner=owner)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        ended = subprocess.run(  # noqa: S603
            launch(spec),
            env=dict(spec.env),
            input=stdin.encode(),
            stdout=output,
            stderr=output,
            start_new_session=True,
            check=False,
        )
    if ended.returncode != 0:
        raise EmbeddedError(f"{argv[0]} failed; the end of {log}:\n{tail(log)}")


def _environment() -> dict[str, str]:
    """Nothing of the caller's PG* and locale variables, which could name what is not there."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _owner(data: Path) -> tuple[int, int] | None:
    """Whom the server must run as: the folder's owner, where this process is root."""
    if os.geteuid() != 0:
        return None
    found = data.stat()
    return found.st_uid, found.st_gid


def _unprivileged() -> tuple[int, int] | None:
    """Whom a new cluster belongs to: PostgreSQL refuses root, and wants a user with a name."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        with suppress(KeyError):
            found = pwd.getpwnam(name)
            return found.pw_uid, found.pw_gid
    raise EmbeddedError(f"PostgreSQL refuses to run as root, and there is no user {UNPRIVILEGED}")
