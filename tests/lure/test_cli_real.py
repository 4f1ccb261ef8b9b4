"""The command line against a real service, as a person uses it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lure.client import Client
from lure.embedded import Stack
from tests.digits import digits_npz, digits_zip, images, labels, png

from .test_cli import DONE, FAILED, lure

pytestmark = pytest.mark.timeout(300)  # whichever test comes first waits for the stack

STREAM = "digits"
RECIPE = ("epochs=2", "batch_size=32", "augmentation=none")
FINAL = r"digits: chunk {} learned, 100 images, accuracy [01]\.\d{{4}}, version {}\n"


@dataclass(frozen=True)
class Taught:
    """A service whose stream has learned a folder, a zip and an npz, and how that was told."""

    url: str
    pushed: subprocess.CompletedProcess[str]
    image: str

    def lure(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return lure(*arguments, url=self.url)

    def document(self, *arguments: str) -> dict[str, object]:
        """The answer of a reading command, which must be one JSON document and nothing else."""
        ended = self.lure(*arguments, "--json")
        assert (ended.returncode, ended.stderr) == (DONE, "")
        found = json.loads(ended.stdout)
        assert isinstance(found, dict)
        return found


def folder_of(root: Path, start: int, stop: int) -> Path:
    for index in range(start, stop):
        path = root / "first" / str(labels[index]) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(images[index]))
    return root / "first"


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taught]:
    root = tmp_path_factory.mktemp("real")
    paths = [folder_of(root, 0, 100), root / "second.zip", root / "third.npz"]
    paths[1].write_bytes(digits_zip(range(100, 200)))
    paths[2].write_bytes(digits_npz(range(200, 300)))
    image = root / "unseen.png"
    image.write_bytes(png(images[1000]))
    with Stack(root / "data") as stack:
        recipe = [word for setting in RECIPE for word in ("--recipe", setting)]
        made = lure("create", STREAM, "--architecture", "resnet20s", *recipe, url=stack.url)
        assert made.returncode == DONE, made.stderr
        pushed = lure("push", STREAM, *map(str, paths), url=stack.url)
        yield Taught(stack.url, pushed, str(image))


def test_push_sends_folder_zip_and_npz_and_tells_accuracy_and_version(taught: Taught) -> None:
    assert taught.pushed.returncode == DONE, taught.pushed.stderr
    expected = "".join(FINAL.format(number, number) for number in (1, 2, 3))
    assert re.fullmatch(expected, taught.pushed.stdout)


def test_push_of_what_is_known_already_says_so(taught: Taught, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    again.write_bytes(digits_zip(range(100, 200)))
    ended = taught.lure("push", STREAM, str(again))
    assert ended.returncode == DONE
    assert "chunk 2 learned (known already)" in ended.stdout


def test_one_path_that_fails_does_not_hide_one_that_was_learned(
    taught: Taught, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.zip", tmp_path / "bad.zip"
    good.write_bytes(digits_zip(range(100, 200)))
    bad.write_bytes(b"no zip at all")
    ended = taught.lure("push", STREAM, str(bad), str(good))
    assert ended.returncode == FAILED
    assert "chunk 2 learned" in ended.stdout
    assert f"lure: {bad}: The archive is refused" in ended.stderr


def test_predict_names_the_version_and_a_label(taught: Taught) -> None:
    ended = taught.lure("predict", STREAM, taught.image, "--version", "2", "--top-k", "3")
    assert ended.returncode == DONE
    assert "version 2" in ended.stdout
    assert taught.image.rpartition("/")[2] in ended.stdout
    answer = taught.document("predict", STREAM, taught.image, "--version", "2", "--top-k", "3")
    assert answer["model_version"] == 2
    assert len(answer["predictions"][0]["top_k"]) == 3  # type: ignore[index]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("status",), "resnet20s"),
        (("streams",), "1x8x8"),
        (("status", STREAM), "learned"),
        (("versions", STREAM), "digits: versions"),
        (("chunks", STREAM), "digits: chunks"),
        (("metrics", STREAM), "digits: after every chunk"),
        (("lineage", STREAM), "\n3: accuracy"),
        (("unlearning", STREAM, "2"), "weights, 80.0% were kept"),
        (("alias", "list", STREAM), "champion"),
    ],
)
def test_reading_commands_show_a_table_or_one_document(
    taught: Taught, command: tuple[str, ...], shown: str
) -> None:
    ended = taught.lure(*command)
    assert ended.returncode == DONE, ended.stderr
    assert shown in ended.stdout
    assert taught.document(*command)


def test_documents_are_the_services_answers(taught: Taught) -> None:
    with Client(taught.url) as client:
        assert taught.document("versions", STREAM) == client.versions(STREAM)
        assert taught.document("chunks", STREAM) == client.chunks(STREAM)


def test_rollback_and_release(taught: Taught) -> None:
    with Client(taught.url) as client:
        champion = client.alias(STREAM)["version"]
        assert champion is not None
        ended = taught.lure("rollback", STREAM, "--reason", "too bold")
        assert ended.returncode == DONE, ended.stderr
        back = client.alias(STREAM)
        assert ended.stdout.startswith(f"digits: champion is version {back['version']}; ")
        assert "lure release digits" in ended.stdout
        assert back["version"] != champion
        assert back["hold"]
        assert taught.document("release", STREAM)["hold"] is False
        client.move_alias(STREAM, champion)
    ended = taught.lure("release", STREAM)
    assert ended.returncode == DONE
    assert ended.stdout == (
        f"digits: promotion is automatic again; champion is version {champion}\n"
    )


@pytest.mark.slow
def test_smoke_ends_well_against_this_service(taught: Taught) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "lure.smoke"],
        env={**os.environ, "LURE_URL": taught.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == DONE, ended.stderr
    assert ended.stdout.splitlines()[-1] == "smoke: ok"


def test_a_version_is_reproduced_bit_by_bit(taught: Taught) -> None:
    ended = taught.lure("reproduce", STREAM, "2")
    assert ended.returncode == DONE, ended.stdout + ended.stderr
    assert ended.stdout.startswith("digits: version 2 came out bit-identical, sha256:")
