"""Dashboard, alerts and documentation name what a service shows that has learned a chunk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from store import webhooks, workers
from tests.acceptance.alarms import worker
from tests.acceptance.world import Api, World, wait_for
from tests.deploy import files
from tests.deploy.promql import Named, named
from tests.digits import images, png

pytestmark = pytest.mark.timeout(300)

SLOWER = {"epochs": 1, "learn_epochs": 20, "batch_size": 32, "augmentation": "none"}
LENIENT = {"gate": {"tolerance": 1.0}}
OF_PROMETHEUS = {"up": {"job", "instance"}}  # it makes them itself
OF_SCRAPES = {"job", "instance"}

Series = dict[str, set[str]]


@pytest.fixture(scope="module")
def api(new_world: Callable[..., World]) -> Iterator[Api]:
    world = new_world(gc_s=0.5)
    world.patience_s = 110.0
    worker(world, "admit")
    worker(world, "learn")
    world.beat()
    api = world.api()
    yield api
    api.close()


@pytest.fixture(scope="module")
def texts(api: Api) -> list[str]:
    """What `/metrics` says while a cycle trains, and after chunk, prediction and label."""
    stream = api.create_stream(recipe=SLOWER, policies=LENIENT)
    chunk = api.push_digits(stream, 0)
    found: list[str] = []

    def trains() -> bool:
        text = httpx.get(f"{api.url}/metrics").text
        if "lure_cycle_images_per_second{" in text:
            found.append(text)
        return bool(found)

    wait_for(trains, "the pace of a training", api.world)
    api.wait_learned(stream, chunk, api.push_digits(stream, 60))
    api.wait_version(stream, 2)
    api.wait_serving(stream, 2)
    answer = api.client.predict(stream, [png(images[0])])
    label = {"prediction_id": answer["predictions"][0]["prediction_id"], "label": "1"}
    assert api.http.post(f"/v1/streams/{stream}/feedback", json=[label]).status_code == 200
    api.wait_marked_served(stream)
    with api.world.database.begin() as session:  # there is no GPU here
        gpu = {"device": "H200", "gpu_memory_used_bytes": 1.0, "gpu_memory_total_bytes": 2.0}
        facts = {**gpu, "clock": time.time(), "began_at": time.time()}
        workers.renew(session, "planted", queue="learn", facts=facts)
        hook = webhooks.Wanted("https://127.0.0.1/", webhooks.new_secret())
        webhooks.add(session, hook, who="test")
    found.append(httpx.get(f"{api.url}/metrics").text)
    return found


@pytest.fixture(scope="module")
def shown(texts: list[str]) -> Series:
    """Every series that was shown, with its labels; of one that is still empty, as documented."""
    found: Series = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
            if not family.samples:
                found.setdefault(full(family), files.documented()[full(family)])
    return found


def full(family: Metric) -> str:
    """Its name as it is asked for."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def check(asked: Named, shown: Series, where: str) -> None:
    known = shown | OF_PROMETHEUS
    assert asked.series.keys() <= known.keys(), f"{where}: no such series"
    for name, labels in asked.series.items():
        assert labels <= known[name] | OF_SCRAPES, f"{where}: {name} has no such labels"
    everything = set().union(OF_SCRAPES, *(known[name] for name in asked.series))
    assert asked.lists <= everything, f"{where}: no such labels"


def test_the_dashboard_asks_for_what_there_is(shown: Series) -> None:
    for title, expression, legend in files.queries():
        asked = named(expression)
        check(asked, shown, title)
        told = set().union(OF_SCRAPES, *(shown.get(name, set()) for name in asked.series))
        assert files.words_in_braces(legend) <= (asked.kept or told), title
    [stream] = files.dashboard()["templating"]["list"]
    assert stream["definition"] == "label_values(lure_chunks, stream)"
    assert "stream" in shown["lure_chunks"]


def test_the_alerts_ask_for_what_there_is(shown: Series) -> None:
    for rule in files.rules():
        asked = named(rule["expr"])
        check(asked, shown, rule["alert"])
        words = " ".join(rule["annotations"].values())
        assert files.words_in_braces(words) <= asked.kept | OF_SCRAPES, rule["alert"]


def test_what_the_rows_say_is_never_added_up_over_replicas() -> None:
    of_rows = {name for name, kind in files.kinds().items() if kind == "rows"}
    asked = [expression for _, expression, _ in files.queries()]
    asked += [rule["expr"] for rule in files.rules()]
    for expression in asked:
        if named(expression).series.keys() & of_rows:
            assert "max" in expression, expression


def test_every_metric_is_documented_with_its_labels(texts: list[str], shown: Series) -> None:
    told: Series = {}
    for family in text_string_to_metric_families(texts[-1]):
        if family.name.startswith("lure_") and not family.name.endswith("_created"):
            name = full(family)
            told[name] = shown[name] if name in shown else shown[f"{name}_sum"]
            assert family.documentation, name
    documented = files.documented()
    assert documented.pop("lure_quota_bytes") == set()  # shown where there is one
    assert documented == told
