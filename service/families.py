"""The names under which `/metrics` shows what the rows say. `docs/observability.md` lists them.

A series that appears with its first count shows Prometheus no increase; so what alerts ask for is
there from the beginning, with zero, for every stream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from store import jobs
from store.figures import ActiveCycle, Champion, Line, Live
from store.states import ChunkState, CycleState, Stage
from store.totals import SERVED, Total
from store.workers import Worker

_OUTCOMES = ("passed", "failed", "unproven", "unjudged")
_ENDS = (CycleState.SUCCEEDED, CycleState.FAILED, CycleState.CANCELLED)
_QUEUES = (jobs.ADMIT_QUEUE, jobs.LEARN_QUEUE)

Totals = Mapping[tuple[str, str], Total]
Rows = Iterable[tuple[tuple[str, ...], float | None]]


def of_chunks(
    streams: Sequence[str],
    counts: Mapping[tuple[str, str], int],
    lines: Sequence[Line],
    totals: Totals,
) -> Iterator[Metric]:
    """How many there are, how long they wait, and how long it took until they were served."""
    yield _gauge(
        "lure_chunks",
        "Chunks by their state",
        ("stream", "state"),
        (((s, state), counts.get((s, state), 0)) for s in streams for state in ChunkState),
    )
    waiting = {line.stream: line for line in lines}
    yield _gauge(
        "lure_waiting_chunks",
        "Chunks that wait for their admission or for their cycle",
        ("stream",),
        (((s,), waiting[s].waiting if s in waiting else 0) for s in streams),
    )
    yield _gauge(
        "lure_oldest_waiting_chunk_seconds",
        "Age of the oldest chunk that is not learned yet; 0: all are",
        ("stream",),
        (((s,), waiting[s].oldest_s if s in waiting else 0) for s in streams),
    )
    yield _summary(
        "lure_chunk_served_seconds",
        "Seconds from a chunk's acceptance until every replica served what learned it",
        ("stream",),
        (((s,), totals.get((s, SERVED), Total())) for s in streams),
    )


def of_cycles(
    streams: Sequence[str], active: Sequence[ActiveCycle], totals: Totals
) -> Iterator[Metric]:
    """Those at work, and what all that have ended took."""
    yield _gauge(
        "lure_cycle_stage_seconds",
        "Seconds that the active cycle is in its stage",
        ("stream", "stage"),
        (((cycle.stream, cycle.stage), cycle.stage_s) for cycle in active),
    )
    yield _gauge(
        "lure_cycle_heartbeat_age_seconds",
        "Age of the active cycle's last heartbeat",
        ("stream",),
        (((cycle.stream,), cycle.heartbeat_age_s) for cycle in active),
    )
    yield _gauge(
        "lure_cycle_images_per_second",
        "Training images that the active cycle learns in a second",
        ("stream",),
        (((cycle.stream,), cycle.images_per_s) for cycle in active),
    )
    yield _summary(
        "lure_stage_seconds",
        "Seconds that cycles which have ended spent in a stage",
        ("stream", "stage"),
        (((s, stage), totals.get((s, stage), Total())) for s in streams for stage in Stage),
    )
    yield _summary(
        "lure_cycle_seconds",
        "Seconds that cycles took, by the state that they ended in",
        ("stream", "state"),
        (((s, end), totals.get((s, end), Total())) for s in streams for end in _ENDS),
    )


def of_quality(
    streams: Sequence[str],
    verdicts: Mapping[tuple[str, str], int],
    prequential: Mapping[str, float],
    errors: Mapping[str, float],
) -> Iterator[Metric]:
    """What the gate said, and how well a stream does."""
    gate = CounterMetricFamily(
        "lure_gate_verdicts", "Verdicts of the gate", labels=["stream", "outcome"]
    )
    for labels in ((stream, outcome) for stream in streams for outcome in _OUTCOMES):
        gate.add_metric(labels, verdicts.get(labels, 0))
    yield gate
    yield _gauge(
        "lure_prequential_accuracy",
        "The champion's on the newest chunk, before it was learned; 0 to 1",
        ("stream",),
        (((stream,), share) for stream, share in prequential.items()),
    )
    yield _gauge(
        "lure_cumulative_error",
        "CER: the share of wrong answers on the judge images, over all versions; 0 to 1",
        ("stream",),
        (((stream,), share) for stream, share in errors.items()),
    )


def of_feedback(
    streams: Sequence[str],
    live: Sequence[Live],
    champions: Sequence[Champion],
    waiting: Mapping[str, int],
) -> Iterator[Metric]:
    """What labels that came later say, of the champion and the newest versions."""
    named = [((one.stream, str(one.version)), one) for one in live]
    served = {(one.stream, one.version) for one in champions}
    of_champions = [one for one in live if (one.stream, one.version) in served]
    yield _gauge(
        "lure_live_accuracy",
        "Share of right answers among those that got a label later; 0 to 1",
        ("stream", "version"),
        ((labels, one.right / one.labelled) for labels, one in named),
    )
    yield _gauge(
        "lure_live_labelled",
        "Answers that got a label later",
        ("stream", "version"),
        ((labels, one.labelled) for labels, one in named),
    )
    yield _gauge(
        "lure_champion_live_accuracy",
        "The same share, of the version that is to be served alone; 0 to 1",
        ("stream",),
        (((one.stream,), one.right / one.labelled) for one in of_champions),
    )
    yield _gauge(
        "lure_champion_live_labelled",
        "Its answers that got a label later",
        ("stream",),
        (((one.stream,), one.labelled) for one in of_champions),
    )
    yield _gauge(
        "lure_feedback_waiting_labels",
        "Labels whose images wait to join a chunk",
        ("stream",),
        (((s,), waiting.get(s, 0)) for s in streams),
    )


def of_serving(champions: Sequence[Champion], replicas: int) -> Iterator[Metric]:
    """What is to be served, and who does not serve it yet."""
    yield _gauge("lure_replicas", "API processes with a living lease", (), [((), replicas)])
    yield _gauge(
        "lure_champion_version",
        "The version that is to be served",
        ("stream",),
        (((one.stream,), one.version) for one in champions),
    )
    yield _gauge(
        "lure_champion_accuracy",
        "Accuracy of the version that is to be served, on its judge images; 0 to 1",
        ("stream",),
        (((one.stream,), one.accuracy) for one in champions),
    )
    yield _gauge(
        "lure_replicas_behind",
        "API processes that do not serve the champion",
        ("stream",),
        (((one.stream,), one.behind) for one in champions),
    )


def of_workers(workers: Sequence[Worker], stale_s: float) -> Iterator[Metric]:
    """Who takes tasks, and what each tells of its machine; silent ones are shown until buried."""
    alive = Counter(q for one in workers if one.age_s <= stale_s for q in _queues(one))
    yield _gauge(
        "lure_workers",
        "Worker processes with a living lease",
        ("queue",),
        (((queue,), alive[queue]) for queue in _QUEUES),
    )
    names = ("queue", "worker")
    labelled = [((one.queue, one.id), one) for one in workers]
    yield _gauge(
        "lure_worker_heartbeat_age_seconds",
        "Seconds since a worker renewed its lease",
        names,
        ((labels, one.age_s) for labels, one in labelled),
    )
    yield _gauge(
        "lure_worker_clock_offset_seconds",
        "How far a worker's clock is ahead of the database's",
        names,
        ((labels, one.clock_offset_s) for labels, one in labelled),
    )
    for name, words, fact in (
        ("lure_gpu_memory_used_bytes", "Memory in use on a worker's GPU", "gpu_memory_used_bytes"),
        ("lure_gpu_memory_size_bytes", "Memory of a worker's GPU", "gpu_memory_total_bytes"),
    ):
        yield _gauge(
            name,
            words,
            (*names, "device"),
            (((*labels, _device(one)), one.facts.get(fact)) for labels, one in labelled),
        )
    yield _gauge(
        "lure_last_sweep_age_seconds",
        "Seconds since a queue was swept for work that nobody holds",
        ("queue",),
        (((queue,), _youngest_s(workers, queue, "swept_at")) for queue in _QUEUES),
    )
    yield _gauge(
        "lure_last_garbage_collection_age_seconds",
        "Seconds since what no row names was deleted",
        (),
        [((), _youngest_s(workers, jobs.ADMIT_QUEUE, "collected_at"))],
    )


def _queues(worker: Worker) -> list[str]:
    return worker.queue.split("+")


def _device(worker: Worker) -> str:
    return str(worker.facts.get("device") or "")


def _youngest_s(workers: Sequence[Worker], queue: str, fact: str) -> float | None:
    """How long ago a worker of that queue did it last, or began; by its clock alone."""
    ages = [
        told["clock"] - (told.get(fact) or told["began_at"]) + one.age_s
        for one in workers
        if queue in _queues(one) and (told := one.facts).keys() >= {"clock", "began_at"}
    ]
    return min(ages, default=None)


def _gauge(name: str, words: str, labels: Sequence[str], rows: Rows) -> Metric:
    """A value that is None is left out."""
    family = GaugeMetricFamily(name, words, labels=labels)
    for names, value in rows:
        if value is not None:
            family.add_metric(names, value)
    return family


def _summary(
    name: str, words: str, labels: Sequence[str], rows: Iterable[tuple[tuple[str, ...], Total]]
) -> Metric:
    family = SummaryMetricFamily(name, words, labels=labels)
    for names, total in rows:
        family.add_metric(names, total.count, total.seconds)
    return family
