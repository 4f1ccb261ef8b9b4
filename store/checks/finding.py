"""What a check found, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"  # it works, and something should be done about it
    FAILURE = "failure"  # something does not work, or will not
    SKIPPED = "skipped"  # it could not be looked at; the reason is what was found


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Attributes:
        name: Of the check.
        found: What is the case, in words.
        remedy: What to do; empty where nothing is to be done.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


def ok(name: str, found: str) -> Finding:
    """All is well."""
    return Finding(name, State.OK, found)


def warning(name: str, found: str, remedy: str) -> Finding:
    """It works, and something should be done about it."""
    return Finding(name, State.WARNING, found, remedy)


def failure(name: str, found: str, remedy: str) -> Finding:
    """It does not work, or will not."""
    return Finding(name, State.FAILURE, found, remedy)


def skipped(name: str, why: str) -> Finding:
    """It could not be looked at."""
    return Finding(name, State.SKIPPED, why)
