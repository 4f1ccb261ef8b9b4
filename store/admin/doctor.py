"""`doctor`: what is wrong with this machine, the servers and the processes, and how to mend it."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from alembic.script import ScriptDirectory
from pydantic import ValidationError

from store.admin.command import Plain
from store.admin.migrating import alembic_config
from store.checks import (
    database,
    machine,
    processes,
    redis_server,
    running,
    secrecy,
    stored,
)
from store.checks.finding import Finding, State, failure, ok
from store.checks.running import Check
from store.settings import StoreSettings, faults

_TIMEOUT_S = 35.0  # what hangs in a server or a bucket has its own, shorter one


def examine() -> list[Finding]:
    """Everything that can be looked at without torch and without the API."""
    checks: dict[str, Check] = {
        "releases": machine.releases,
        "user": machine.user,
        "open files": machine.open_files,
        "disk, temporary": machine.temporary_space,
    }
    try:
        settings = StoreSettings()
    except ValidationError as error:
        remedy = "set them; deploy and docs tell what each is"
        wrong = failure("settings", "; ".join(faults(error)), remedy)
        return [wrong, *running.run(checks, timeout_s=_TIMEOUT_S)]
    scripts = ScriptDirectory.from_config(alembic_config(settings))
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    checks |= {
        "passwords": lambda: secrecy.passwords(settings),
        "secret files": lambda: secrecy.files(settings),
        "database": lambda: database.examine(database.Asked(settings, revisions)),
        "redis": lambda: redis_server.examine(settings),
        "blobs": lambda: stored.examine(settings),
        "processes": lambda: processes.examine(settings),
    }
    found = running.run(checks, timeout_s=_TIMEOUT_S)
    return [ok("settings", "complete, and each of its kind"), *found]


def _doctor(wanted: Namespace) -> int:
    found = examine()
    sys.stdout.write(_document(found) if wanted.json else _lines(found))
    sys.stdout.flush()
    return 1 if any(finding.state is State.FAILURE for finding in found) else 0


def _document(found: Sequence[Finding]) -> str:
    return json.dumps([dataclasses.asdict(finding) for finding in found], indent=2) + "\n"


def _lines(found: Sequence[Finding]) -> str:
    lines = []
    for finding in found:
        lines.append(f"{finding.state:8} {finding.name}: {finding.found}")
        if finding.remedy:
            lines.append(f"{'':8} -> {finding.remedy}")
    return "\n".join([*lines, ""])


def _options(options: ArgumentParser) -> None:
    options.add_argument("--json", action="store_true", help="one JSON document")


COMMANDS = (Plain("doctor", "what is wrong, and how to mend it", _doctor, _options),)
