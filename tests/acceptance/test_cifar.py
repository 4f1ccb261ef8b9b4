"""Real CIFAR-10 images, sent as the zips that the paper's mega-batches became."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.world import Api, World

CIFAR = Path(os.environ.get("LURE_SHARED", "../shared")) / "data" / "cifar10"
pytestmark = pytest.mark.skipif(
    not CIFAR.is_dir(), reason=f"no CIFAR-10 chunks in {CIFAR}; say where with LURE_SHARED"
)


@pytest.fixture(scope="module")
def api(new_world: Callable[..., World]) -> Iterator[Api]:
    world = new_world()
    world.admit()
    world.learn()
    api = world.api()
    yield api
    api.close()


def thinned(number: int, every: int) -> bytes:
    """Every n-th member of a chunk, as it is."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(CIFAR / f"chunk-{number:02d}.zip") as whole,
        zipfile.ZipFile(buffer, "w") as thin,
    ):
        for member in whole.infolist()[::every]:
            thin.writestr(zipfile.ZipInfo(member.filename), whole.read(member))
    return buffer.getvalue()


def an_image(number: int) -> tuple[str, bytes]:
    with zipfile.ZipFile(CIFAR / f"chunk-{number:02d}.zip") as whole:
        member = next(m for m in whole.infolist() if not m.is_dir())
        return member.filename.split("/")[0], whole.read(member)


@pytest.mark.slow
def test_two_thinned_chunks_are_learned_and_each_version_predicts(api: Api) -> None:
    stream = api.create_stream(architecture="resnet20s", recipe={"epochs": 1})
    chunks = [api.push(stream, thinned(number, every=16)) for number in (0, 1)]
    api.wait_learned(stream, *chunks)
    first, second = reversed(api.client.versions(stream)["items"])
    assert (first["strategy"], second["strategy"], second["parent"]) == ("learn", "lure", 1)
    label, image = an_image(7)
    for version in (1, 2):
        answer = api.client.predict(stream, [image], version=str(version), top_k=10)
        known = {one["label"] for one in answer["predictions"][0]["top_k"]}
        assert answer["model_version"] == version
        assert label in known


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_whole_chunks_are_learned(api: Api) -> None:
    stream = api.create_stream(architecture="resnet20s", recipe={"epochs": 2})
    for number in (0, 1):
        chunk = api.push(stream, (CIFAR / f"chunk-{number:02d}.zip").read_bytes())
        api.world.patience_s = 900
        api.wait_learned(stream, chunk)
    accuracies = [v["metrics"]["accuracy"] for v in api.client.versions(stream)["items"]]
    assert min(accuracies) > 0.3
