"""Wake-up calls for the workers: best effort, since the row is the truth and a sweeper repairs."""

from __future__ import annotations

import time

import structlog
from celery import Celery
from kombu.exceptions import KombuError, OperationalError

from store.jobs import ADMIT_CHUNK, EXPORT, PROCESS_NEXT, QUEUE_OF, RERUN_NEXT
from store.settings import StoreSettings

_PATIENCE_S = 0.5
_REST_S = 5.0  # after a failure: a Redis that is away must not slow every upload

log = structlog.get_logger(__name__)


class Queue:
    """Sends tasks by name; knows none of the workers' code."""

    def __init__(self, settings: StoreSettings) -> None:
        self._celery = Celery(broker=settings.redis_url, set_as_current=False)
        self._celery.conf.update(
            broker_connection_timeout=_PATIENCE_S,
            broker_transport_options={
                "socket_connect_timeout": _PATIENCE_S,
                "socket_timeout": _PATIENCE_S,
                "max_retries": 0,
            },
        )
        self._silent_until = 0.0

    def admit(self, chunk_id: str) -> None:
        """There is a chunk to admit."""
        self._send(ADMIT_CHUNK, chunk_id)

    def process(self, stream_id: int) -> None:
        """There is an admitted chunk to learn."""
        self._send(PROCESS_NEXT, stream_id)

    def export(self, stream_id: int, version: int, kind: str) -> None:
        """There is an artifact to make."""
        self._send(EXPORT, stream_id, version, kind)

    def rerun(self) -> None:
        """There is a cycle to run again."""
        self._send(RERUN_NEXT)

    @property
    def resting(self) -> bool:
        """Whether it has failed lately and does not try at present."""
        return time.monotonic() < self._silent_until

    def close(self) -> None:
        """Close the connections."""
        self._celery.close()

    def _send(self, task: str, *arguments: str | int) -> None:
        if self.resting:
            return
        try:
            self._celery.send_task(
                task, arguments, queue=QUEUE_OF[task], retry=False, ignore_result=True
            )
        except (OperationalError, KombuError, OSError) as error:
            self._silent_until = time.monotonic() + _REST_S
            log.warning("redis is away, the sweeper will wake the worker", error=str(error))
