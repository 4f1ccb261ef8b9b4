"""The names under which `/metrics` shows how the telling of webhooks goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from store.webhooks import State


def of_webhooks(states: Sequence[State]) -> Iterator[Metric]:
    """Calls by their outcome, what waits, and who is paused; there are 100 webhooks at most."""
    calls = CounterMetricFamily(
        "lure_webhook_deliveries",
        "Calls to a webhook's receiver: delivered, or failed",
        labels=["webhook", "outcome"],
    )
    waits = GaugeMetricFamily(
        "lure_webhook_oldest_undelivered_seconds",
        "Age of the oldest event that a webhook still has to tell; 0: none",
        labels=["webhook"],
    )
    paused = GaugeMetricFamily(
        "lure_webhook_paused", "1: it tells nothing until it is resumed", labels=["webhook"]
    )
    for state in states:
        calls.add_metric([state.id, "delivered"], state.delivered)
        calls.add_metric([state.id, "failed"], state.failed)
        waits.add_metric([state.id], state.waits_s)
        paused.add_metric([state.id], float(state.is_paused))
    yield calls
    yield waits
    yield paused
