"""Two replicas behind a real nginx: whatever comes next may land on the other.

nginx runs `deploy/nginx/lure.conf`.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from lure.client import Client
from lure.processes import Child, Spec
from store import keys
from tests.acceptance.world import RECIPE, Api, World, free_port, wait_for
from tests.digits import digits_zip, images, png

CONF = Path(__file__).parents[2] / "deploy" / "nginx" / "lure.conf"

pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None, reason="nginx is not installed; apt-get install nginx-light"
)


class Front:
    """nginx before two replicas."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.replicas = [world.api() for _ in range(2)]
        self.key = self._make_key()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder = world.folder / "nginx"
        folder.mkdir()
        (folder / "nginx.conf").write_text(self._conf(folder))
        argv = (str(shutil.which("nginx")), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr")
        self.child = Child(Spec(name="nginx", argv=argv, log=folder / "log", env={}))
        self.child.start()
        world.children.append(self.child)
        shown = {"authorization": f"Bearer {self.key}"}
        self.http = httpx.Client(base_url=self.url, timeout=30, headers=shown)
        wait_for(self.answers, "nginx to answer", world)

    def _make_key(self) -> str:
        """Through a proxy nothing is answered without one."""
        with self.world.database.begin() as session:
            _, text = keys.create(session, keys.NewKey("front", [keys.ADMIN]), who="test")
        for replica in self.replicas:
            replica.http.headers["authorization"] = f"Bearer {text}"
            wait_for(partial(is_closed, replica), "the key to be known", self.world)
        return text

    def answers(self) -> bool:
        assert self.child.running, self.child.tail()
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _conf(self, folder: Path) -> str:
        """The file as it stands, with the addresses of this test."""
        text = CONF.read_text().replace("listen 80;", f"listen 127.0.0.1:{self.port};")
        for port, replica in zip((8000, 8001), self.replicas, strict=True):
            assert f"127.0.0.1:{port}" in text
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{replica.port}")
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        frame = f"daemon off; master_process off; pid {folder}/pid; error_log stderr;\n"
        return f"{frame}events {{}}\nhttp {{\naccess_log off;\n{temporary}{text}\n}}\n"

    def close(self) -> None:
        self.http.close()
        self.child.send(signal.SIGTERM)


def is_closed(api: Api) -> bool:
    return httpx.get(f"{api.url}/v1/keys").status_code == 401


@pytest.fixture(scope="module")
def front(new_world: Callable[..., World]) -> Iterator[Front]:
    world = new_world()
    world.admit()
    world.learn()
    front = Front(world)
    yield front
    front.close()


@pytest.fixture(scope="module")
def stream(front: Front) -> str:
    """With a version that both replicas serve."""
    name = front.world.stream_name()
    body = {"name": name, "architecture": "resnet20s", "recipe": RECIPE}
    made = front.http.post("/v1/streams", json=body)
    assert made.status_code == 201
    assert front.http.get(made.headers["location"]).json()["name"] == name
    with Client(front.url, front.key) as client:
        pushed = front.http.post(
            f"/v1/streams/{name}/chunks",
            content=digits_zip(range(60)),
            headers={"content-type": "application/zip"},
        )
        assert pushed.status_code == 202
        assert front.http.get(pushed.headers["location"]).status_code == 200
        client.wait_for_chunk(name, pushed.json()["id"])
    for replica in front.replicas:
        replica.wait_serving(name, 1)
    return name


def test_what_one_replica_predicted_gets_its_label_through_either(
    front: Front, stream: str
) -> None:
    """A prediction is in one replica's memory for a second; until it is written it is "not yet"."""
    headers = {"content-type": "image/png"}
    for _ in range(2):
        answer = front.http.post(
            f"/v1/streams/{stream}/predictions", content=png(images[0]), headers=headers
        )
        (prediction,) = answer.json()["predictions"]
        label = {"prediction_id": prediction["prediction_id"], "label": "0"}

        def is_taken(label: dict[str, str] = label) -> bool:
            path = f"/v1/streams/{stream}/feedback"
            (item,) = front.http.post(path, json=[label]).json()["items"]
            assert item["outcome"] != "refused" or item["reason"] == "not_yet", item
            return item["outcome"] != "refused"

        wait_for(is_taken, "the label to be taken", front.world)


def test_a_request_sent_again_is_done_once_wherever_it_lands(front: Front) -> None:
    name = front.world.stream_name()
    told = {"headers": {"idempotency-key": name}, "json": {"name": name}}
    first, second = (front.http.post("/v1/streams", **told) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["idempotency-replayed"] == "true"
    assert second.json() == first.json()


def test_what_was_read_from_one_replica_is_changed_through_the_other(
    front: Front, stream: str
) -> None:
    for epochs in (1, 2):
        tag = front.http.get(f"/v1/streams/{stream}").headers["etag"]
        changed = front.http.patch(
            f"/v1/streams/{stream}",
            json={"recipe": {"epochs": epochs}},
            headers={"if-match": tag},
        )
        assert changed.status_code == 200, changed.text
        assert front.http.get(f"/v1/streams/{stream}").json()["recipe"]["epochs"] == epochs


def test_events_come_as_they_happen_and_go_on_at_the_other_replica(front: Front) -> None:
    last = None
    for _ in range(4):
        headers = {"last-event-id": last} if last else {}
        with front.http.stream("GET", "/v1/events", headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = response.iter_lines()
            while not next(lines).startswith(":"):  # it has begun
                pass
            name = front.world.stream_name()
            assert front.http.post("/v1/streams", json={"name": name}).status_code == 201
            told = []
            while not told or name not in told[-1]:
                line = next(lines)
                last = line.removeprefix("id: ") if line.startswith("id: ") else last
                told += [line] if line.startswith("data: ") else []
            assert len(told) == 1  # none twice, none of before


def test_large_bodies_are_refused_by_lure_and_not_by_nginx(front: Front, stream: str) -> None:
    refused = front.http.post(
        f"/v1/streams/{stream}/chunks",
        content=bytes(3 << 20),
        headers={"content-type": "application/zip"},
    )
    assert refused.status_code == 422, refused.text
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_replica_that_dies_is_not_missed(front: Front, stream: str) -> None:
    replica = front.replicas[0]
    replica.child.kill()
    for _ in range(6):
        assert front.http.get(f"/v1/streams/{stream}").status_code == 200
        answer = front.http.post(
            f"/v1/streams/{stream}/predictions",
            content=png(images[0]),
            headers={"content-type": "image/png"},
        )
        assert answer.status_code == 200
    replica.child.start()  # for whichever test comes next
    wait_for(replica.ready, "the replica to be back", front.world)
