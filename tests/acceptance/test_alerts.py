"""Every alert rests, and fires when its fault is planted in a real service."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

import httpx
import pytest

from lure.processes import Child
from lure.servers import Postgres
from store import webhooks, workers
from store.webhooks import Wanted
from tests.acceptance.alarms import WINDOW, Alarms, worker
from tests.acceptance.world import Api, World, wait_for
from tests.deploy.files import rules
from tests.digits import digits_zip, images, png
from tests.ports import free_port

pytestmark = pytest.mark.timeout(300)

LONG = {"epochs": 40, "learn_epochs": 40, "batch_size": 32, "augmentation": "none"}
THEN_BADLY = {"epochs": 1, "learn_epochs": 12, "batch_size": 32, "augmentation": "none"}
TINY = {"LURE_PREDICT_REQUESTS": "1", "LURE_QUOTA_BYTES": "1"}
REFUSING = {
    "unlearn": {"strategy": "scratch"},
    "gate": {"tolerance": 0.0, "min_judge": 5, "unproven": "refuse"},
    "holdout": {"select": 0.1, "judge": 0.3},
}


@dataclass
class Service:
    """A whole service that Prometheus watches, with a stream that it serves."""

    postgres: Postgres
    api: Api
    learner: Child
    beat: Child
    alarms: Alarms
    stream: str = ""

    @property
    def world(self) -> World:
        return self.api.world

    @property
    def predictions(self) -> str:
        return f"/v1/streams/{self.stream}/predictions"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("alerts")
    with Postgres(folder / "postgres") as postgres:
        world = World(postgres, folder, gc_s=0.5)
        world.patience_s = 110.0
        try:
            alarms = Alarms(world)
            worker(world, "admit")
            learner, beat = worker(world, "learn"), world.beat()
            found = Service(postgres, world.api(), learner, beat, alarms)
            alarms.watch(found.api.url)
            found.stream = taught(found.api)
            yield found
            alarms.close()
        finally:
            world.close()


def taught(api: Api) -> str:
    """A stream with a good version, after which the gate lets nothing through."""
    stream = api.create_stream(recipe=THEN_BADLY, policies=REFUSING)
    api.wait_learned(stream, api.push_digits(stream, 0, 200))
    api.wait_serving(stream, 1)
    return stream


@contextmanager
def again_and_again(ask: Callable[[], object], *, threads: int = 1) -> Iterator[None]:
    """Somebody asks meanwhile, whatever comes of it."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.02):
            with suppress(httpx.TransportError):
                ask()

    asking = [threading.Thread(target=run) for _ in range(threads)]
    for one in asking:
        one.start()
    try:
        yield
    finally:
        over.set()
        for one in asking:
            one.join()


@contextmanager
def another_api(service: Service, **settings: str) -> Iterator[tuple[str, Child]]:
    """A second replica, which need not become ready."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    child = service.world.start("another", "service", LURE_PORT=str(port), **settings)
    service.alarms.watch(service.api.url, url)
    try:
        yield url, child
    finally:
        child.kill()
        service.alarms.watch(service.api.url)


def instance(url: str) -> dict[str, str]:
    return {"instance": url.removeprefix("http://")}


@contextmanager
def redis_killed(service: Service) -> Iterator[dict[str, str]]:
    service.world.redis.kill()
    try:
        yield instance(service.api.url)
    finally:
        service.world.redis.start()


@contextmanager
def postgres_killed(service: Service) -> Iterator[dict[str, str]]:
    """An API that begins meanwhile knows no champions, nor who may ask for its figures."""

    def ask() -> None:
        httpx.get(f"{service.api.url}/v1/streams", timeout=30)

    service.postgres.kill()
    try:
        with another_api(service, LURE_METRICS_OPEN="true"), again_and_again(ask):
            yield {}
    finally:
        service.postgres.start()


@contextmanager
def beat_killed(service: Service) -> Iterator[dict[str, str]]:
    service.beat.kill()
    try:
        yield {}
    finally:
        service.beat = service.world.beat()


@contextmanager
def learner_stopped_in_a_cycle(service: Service) -> Iterator[dict[str, str]]:
    api = service.api
    stream = api.create_stream(recipe=LONG)
    chunk = api.push_digits(stream, 0, 100)

    def relearns() -> bool:
        found = api.client.cycles(stream)["items"]
        return bool(found) and found[0]["stage"] == "relearn"

    wait_for(relearns, "the cycle to learn", service.world)
    family = [one.pid for one in service.learner.family()]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield {"stream": stream, "queue": "learn", "stage": "relearn"}
    finally:
        for pid in family:
            os.kill(pid, signal.SIGCONT)
        api.wait_learned(stream, chunk)


@contextmanager
def champion_ruined(service: Service) -> Iterator[dict[str, str]]:
    """Its bytes are others: who starts cannot serve it, and no cycle can begin from it."""
    api = service.api
    stream = api.create_stream()
    api.wait_learned(stream, api.push_digits(stream, 0))
    api.wait_marked_served(stream)
    digest = api.client.version(stream, 1)["digest"].removeprefix("sha256:")
    [path] = (service.world.folder / "blobs").rglob(digest)
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    try:
        with another_api(service) as (url, _):
            api.push_digits(stream, 60)
            yield {"stream": stream} | instance(url)
    finally:
        path.write_bytes(whole)


@contextmanager
def api_overrun_and_killed(service: Service) -> Iterator[dict[str, str]]:
    """One prediction at a time, and no byte of a chunk, is more than it has room for; it dies."""
    began = time.monotonic()
    with another_api(service, **TINY) as (url, child):

        def ask() -> None:
            header = {"Content-Type": "image/png"}
            httpx.post(url + service.predictions, content=png(images[0]), headers=header)

        def upload() -> None:
            header = {"Content-Type": "application/zip"}
            where = f"{url}/v1/streams/{service.stream}/chunks"
            httpx.post(where, content=digits_zip([0]), headers=header)

        with again_and_again(ask, threads=4), again_and_again(upload):
            for alert in ("LurePredictionsRefused", "LureQuotaUsedUp"):
                service.alarms.wait_fired(alert, since=began)
        child.kill()
        yield instance(url)


@contextmanager
def slow_client(service: Service) -> Iterator[dict[str, str]]:
    """Its bodies take longer than a second."""

    def body() -> Iterator[bytes]:
        whole = png(images[0])
        yield whole[:10]
        threading.Event().wait(1.2)
        yield whole[10:]

    def ask() -> None:
        header = {"Content-Type": "image/png"}
        url = service.api.url + service.predictions
        assert httpx.post(url, content=body(), headers=header).status_code == 200

    with again_and_again(ask):
        yield {}


@contextmanager
def bad_chunks(service: Service) -> Iterator[dict[str, str]]:
    """To a stream that was seen without them."""
    api = service.api
    stream = api.create_stream()
    service.alarms.wait_seen(f'lure_chunks{{stream="{stream}", state="rejected"}} == 0')
    for number in range(2):
        chunk = api.push(stream, digits_zip([], {f"1/{number}.png": b"no image"}))
        wait_for(lambda c=chunk: api.state(stream, c) == "rejected", "a rejection", api.world)  # type: ignore[misc]
    yield {"stream": stream}


@contextmanager
def worse_candidate(service: Service) -> Iterator[dict[str, str]]:
    """Long enough after a good one: the rule asks for a window in which none was let through."""
    api = service.api
    passed = f'lure_gate_verdicts_total{{stream="{service.stream}", outcome="passed"}}'
    service.alarms.wait_seen(f"({passed} >= 1) unless (increase({passed}[{WINDOW}]) > 0.1)")
    count = len(api.client.chunks(service.stream)["items"])
    api.wait_learned(service.stream, api.push_digits(service.stream, 200 + 60 * count))
    yield {"stream": service.stream}


@contextmanager
def labels_that_contradict(service: Service) -> Iterator[dict[str, str]]:
    """Every answer is said to have been wrong."""
    api = service.api
    answers = api.client.predict(service.stream, [png(one) for one in images[:60]])["predictions"]
    told = [
        {"prediction_id": one["prediction_id"], "label": str((int(one["label"]) + 1) % 10)}
        for one in answers
    ]
    assert api.http.post(f"/v1/streams/{service.stream}/feedback", json=told).status_code == 200
    yield {"stream": service.stream}


@contextmanager
def clock_set_wrong(service: Service) -> Iterator[dict[str, str]]:
    """The lease of a worker whose clock is a minute fast."""
    ahead = {"clock": time.time() + 60, "began_at": time.time() + 60}
    with service.world.database.begin() as session:
        workers.renew(session, "fast", queue="learn", facts=ahead)
    try:
        yield {"worker": "fast"}
    finally:
        with service.world.database.begin() as session:
            workers.leave(session, "fast")


@contextmanager
def nobody_listens(service: Service) -> Iterator[dict[str, str]]:
    """A webhook is to be told of all that was, where no port is open."""
    wanted = Wanted(f"http://127.0.0.1:{free_port()}/", webhooks.new_secret(), from_event=0)
    with service.world.database.begin() as session:
        webhook = webhooks.add(session, wanted, who="test").id
    try:
        yield {"webhook": webhook}
    finally:
        with service.world.database.begin() as session:
            webhooks.delete(session, webhook)


Plant = Callable[[Service], AbstractContextManager[dict[str, str]]]
PLANTED: dict[Plant, tuple[str, ...]] = {
    redis_killed: ("LureRedisAway",),
    postgres_killed: (
        "LureDatabaseAway",
        "LureErrorRate",
        "LureApiNotReady",
        "LureFiguresMissing",
    ),
    beat_killed: ("LureNotSwept", "LureGarbageNotCollected"),
    learner_stopped_in_a_cycle: (
        "LureNoWorker",
        "LureWorkerSilent",
        "LureCycleHeartbeatStale",
        "LureCycleStuck",
        "LureChunkWaits",
    ),
    champion_ruined: ("LureModelsNotLoading", "LureSwapLag", "LureCyclesFailing"),
    api_overrun_and_killed: (
        "LurePredictionsRefused",
        "LureQuotaUsedUp",
        "LureApiDown",
        "LureReplicaLost",
    ),
    slow_client: ("LurePredictionsSlow",),
    bad_chunks: ("LureChunksRejected",),
    worse_candidate: ("LureGateRefuses",),
    labels_that_contradict: ("LureLiveAccuracyDropped",),
    clock_set_wrong: ("LureClockSkew",),
    nobody_listens: ("LureWebhookFailing",),
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_fault_is_told(service: Service, plant: Plant) -> None:
    for alert in PLANTED[plant]:
        service.alarms.wait_silent(alert)
    began = time.monotonic()
    with plant(service) as labels:
        for alert in PLANTED[plant]:
            service.alarms.wait_fired(alert, since=began, **labels)


def test_every_alert_is_planted_or_says_why_not() -> None:
    named = [alert for alerts in PLANTED.values() for alert in alerts]
    planted = [rule["alert"] for rule in rules() if rule["annotations"]["planted"] == "yes"]
    assert sorted(named) == sorted(planted)
