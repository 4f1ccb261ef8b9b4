"""What the gate refuses, counted."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Counter
from prometheus_client.metrics_core import Metric

_REASONS = (
    *("missing", "unknown", "revoked", "expired"),  # 401
    *("scope", "stream", "browser"),  # 403
    *("key_rate", "address_rate"),  # 429
)


class AccessCounters:
    """Refusals and lost audit entries; in no registry of Prometheus's own."""

    def __init__(self) -> None:
        self._refused = Counter(
            "lure_access_refused",
            "Requests refused before their body was read: no valid key (missing, unknown, revoked,"
            " expired), not allowed (scope, stream, browser), too many (key_rate, address_rate)",
            ["reason"],
            registry=None,
        )
        self._audit = Counter(
            "lure_audit_entries",
            "Entries of the audit log: written, written late as the database was away, or lost",
            ["outcome"],
            registry=None,
        )
        for reason in _REASONS:
            self._refused.labels(reason)
        for outcome in ("written", "late", "lost"):
            self._audit.labels(outcome)

    def refused(self, reason: str) -> None:
        """The gate refused a request."""
        self._refused.labels(reason).inc()

    def audited(self, outcome: str, entries: int = 1) -> None:
        """Entries were `written`, `late` or `lost`."""
        self._audit.labels(outcome).inc(entries)

    def collect(self) -> Iterator[Metric]:
        """Both, as Prometheus wants them."""
        yield from self._refused.collect()
        yield from self._audit.collect()
