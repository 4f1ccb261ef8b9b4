"""Faults are planted for real: other servers, other users, other schemas."""

from __future__ import annotations

from collections.abc import Sequence

from store.checks.finding import Finding, State


def state_of(found: Sequence[Finding], name: str) -> State:
    """How the check of that name is."""
    return finding_of(found, name).state


def finding_of(found: Sequence[Finding], name: str) -> Finding:
    """What the check of that name found."""
    return next(finding for finding in found if finding.name == name)
