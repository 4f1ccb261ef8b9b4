"""A second client that keeps asking for predictions, and counts what fails."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Self

from lure.client import Client
from lure.waiting import until

PAUSE_S = 0.01


class Asker:
    """Asks in a thread of its own, one image a request, never a second time for the same answer."""

    def __init__(self, url: str, stream: str, images: Sequence[bytes]) -> None:
        self.url = url
        self.stream = stream
        self.asked = 0
        self.failures: Counter[str] = Counter()
        self.versions: set[int] = set()
        self._images = images
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asker")

    @property
    def failed(self) -> int:
        return self.failures.total()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, count: int, *, timeout_s: float) -> bool:
        """Whether `count` requests were made within `timeout_s`."""
        ended = until(
            lambda: self.asked >= count or not self._thread.is_alive(), timeout_s=timeout_s
        )
        return ended and self.asked >= count

    def _run(self) -> None:
        try:
            with Client(self.url, retries=0) as client:
                for image in itertools.cycle(self._images):
                    self._ask(client, image)
                    if self._stop.wait(PAUSE_S):
                        return
        except Exception as error:  # noqa: BLE001  (whatever it is, no more is asked: a failure)
            self.failures[f"the asker ended: {error!r}"] += 1

    def _ask(self, client: Client, image: bytes) -> None:
        try:
            answer = client.predict(self.stream, [image])
            self.versions.add(answer["model_version"])
        except Exception as error:  # noqa: BLE001  (whatever it is, there was no good answer)
            self.failures[f"{type(error).__name__}: {error}"] += 1
        self.asked += 1
