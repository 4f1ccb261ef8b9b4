"""What this process has inferred since it started, by version, as Triton's extension tells it."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from service.slot import Served

_SERIES = 500  # versions grow without end; those asked for longest ago go


@dataclass
class Duration:
    """How often something was done, and the nanoseconds that it took together."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns


@dataclass(frozen=True)
class Spans:
    """Nanoseconds of one inference: taking it apart, waiting and computing, putting together."""

    input_ns: int
    infer_ns: int
    output_ns: int


@dataclass
class _Account:
    images: int = 0
    last_ms: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    taking: Duration = field(default_factory=Duration)
    inferring: Duration = field(default_factory=Duration)
    telling: Duration = field(default_factory=Duration)


class Statistics:
    """Counts of the requests on `/v2`. Changed from the event loop only."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[tuple[str, int], _Account] = OrderedDict()

    def succeeded(self, served: Served, images: int, spans: Spans) -> None:
        """That many images were answered in one request."""
        account = self._account(served)
        account.images += images
        account.last_ms = time.time_ns() // 1_000_000
        account.success.add(spans.input_ns + spans.infer_ns + spans.output_ns)
        account.taking.add(spans.input_ns)
        account.inferring.add(spans.infer_ns)
        account.telling.add(spans.output_ns)

    def failed(self, served: Served, ns: int) -> None:
        """A request was refused, or could not be answered, after so many nanoseconds."""
        self._account(served).fail.add(ns)

    def told(self, model: str | None = None, version: int | None = None) -> dict[str, Any]:
        """Of everything, of one model, or of one version."""
        return {
            "model_stats": [
                _told(name, number, account)
                for (name, number), account in self._accounts.items()
                if model in (None, name) and version in (None, number)
            ]
        }

    def _account(self, served: Served) -> _Account:
        key = (served.stream, served.version)
        account = self._accounts.setdefault(key, _Account())
        self._accounts.move_to_end(key)
        if len(self._accounts) > _SERIES:
            self._accounts.popitem(last=False)
        return account


def _told(model: str, version: int, account: _Account) -> dict[str, Any]:
    durations = {
        "success": account.success,
        "fail": account.fail,
        "queue": Duration(),  # part of compute_infer: a request may wait for several batches
        "compute_input": account.taking,
        "compute_infer": account.inferring,
        "compute_output": account.telling,
        "cache_hit": Duration(),
    }
    return {
        "name": model,
        "version": str(version),
        "last_inference": account.last_ms,
        "inference_count": account.images,
        # batches are shared with other requests, so each counts the one that it was part of
        "execution_count": account.success.count,
        "inference_stats": {
            name: {"count": one.count, "ns": one.ns} for name, one in durations.items()
        },
        "batch_stats": [],
    }
