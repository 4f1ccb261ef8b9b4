"""Tells webhooks what happened, beside the admissions and without holding them up.

Each child of an admitting worker has a thread that looks for webhooks with something to tell: when
the bell rings, and at every sweep. Each one that is due gets a thread for a turn, some at once: a
receiver that is slow or dead holds up nobody but itself. No message of the queue is needed, which
would wait behind a long admission.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable

from structlog.contextvars import bound_contextvars

from store import deliveries, events
from store.bus import Ear
from store.deliveries import Claim, Failure
from store.errors import DatabaseAway, FenceLost
from store.failpoint import failpoint
from store.models import Event, Json, Webhook
from worker.context import Context
from worker.errors import Interrupted
from worker.heartbeat import Heartbeat
from worker.posting import Answer, Letter, Poster

_AT_ONCE = 8  # webhooks that one process tells
_PAGE = 100  # events read at once
_TURN_S = 30.0  # then it is others' turn
_PAUSE_S = 0.2  # between two looks, however often the bell rings
_LONGEST_REST_S = 3 * 3600.0
_GONE = 410  # the receiver wants nothing more, ever
_LEAVE_S = 2.0  # for turns to end when the process must

log = logging.getLogger(__name__)


class Teller:
    """The thread that looks, from `start` to `stop`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ear = Ear(context.settings)
        self._over = threading.Event()
        self._turns: dict[str, threading.Thread] = {}
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the turns, or leave them: what was told and not noted is told again."""
        self._over.set()
        until = time.monotonic() + _LEAVE_S
        for turn in list(self._turns.values()):
            turn.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while not self._is_over():
            more = False
            try:
                more = self._look()
            except DatabaseAway as error:
                log.debug("no webhook is told: %s", error)
            except Exception:  # a thread that died of it would tell nobody anything any more
                log.exception("looking for webhooks failed, trying on")
            self._over.wait(_PAUSE_S)
            if not more:
                self._ear.wait(self._context.settings.sweep_s)

    def _look(self) -> bool:
        """Whether more may be due than there was room for."""
        self._turns = {name: turn for name, turn in self._turns.items() if turn.is_alive()}
        room = _AT_ONCE - len(self._turns)
        if room == 0:
            return True
        stale_s = self._context.settings.stale_s
        with self._context.database.begin() as session:
            found = deliveries.due(session, stale_s=stale_s, limit=room)
        for webhook_id in found:
            turn = threading.Thread(
                target=tell, args=(self._context, webhook_id, self._is_over), daemon=True
            )
            self._turns[webhook_id] = turn
            turn.start()
        return len(found) == room

    def _is_over(self) -> bool:
        return self._over.is_set() or self._context.stop()


def tell(context: Context, webhook_id: str, is_over: Callable[[], bool] = lambda: False) -> None:
    """Tell one webhook what it waits for, if nobody else does, for a turn."""
    try:
        with context.database.begin() as session:
            claimed = deliveries.claim(session, webhook_id, stale_s=context.settings.stale_s)
    except DatabaseAway:
        return
    if claimed is None:
        return
    claim, row = claimed
    heartbeat = Heartbeat(
        context,
        beat=lambda session: deliveries.beat(session, claim),
        hand_back=lambda session: deliveries.hand_back(session, claim),
    )
    with bound_contextvars(webhook=webhook_id, attempt=claim.attempt):
        try:
            with heartbeat:
                _Turn(context, claim, row, heartbeat, is_over).run()
            heartbeat.hand_back()
        except FenceLost as lost:
            log.info("nothing more to tell: %s", lost)
        except Interrupted:
            heartbeat.hand_back()
        except DatabaseAway as away:
            log.warning("left to be told again: %s", away)
        except Exception:  # the heartbeat goes stale, and then it is tried again
            log.exception("a webhook could not be told")


class _Turn:
    """A webhook's time: one event after the other, until one is not taken."""

    def __init__(
        self,
        context: Context,
        claim: Claim,
        row: Webhook,
        heartbeat: Heartbeat,
        is_over: Callable[[], bool],
    ) -> None:
        self._context = context
        self._claim = claim
        self._row = row
        self._heartbeat = heartbeat
        self._is_over = is_over
        self._after = row.after_event
        self._failures = row.failures

    def run(self) -> None:
        settings = self._context.settings
        until = time.monotonic() + _TURN_S
        with Poster(
            self._row.url,
            self._row.secret,
            timeout_s=settings.webhook_timeout_s,
            private=settings.webhook_private,
        ) as poster:
            self._ping(poster)
            # asked for a test alone, it rests on: that is no trial of the event that waits
            while self._claim.has_news and time.monotonic() < until:
                page = self._page()
                if not page or not all(self._tell(poster, event, until) for event in page):
                    return

    def _ping(self, poster: Poster) -> None:
        ping = self._row.ping
        if ping is None or "at" in ping:
            return
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        shown = {"id": ping["id"], "name": "webhook.ping", "webhook": self._row.id, "at": at}
        answer = poster.post(_letter(ping["id"], shown))
        log.info("webhook tested", extra={"status": answer.status, "error": answer.error})
        self._context.transact(
            lambda session: deliveries.pinged(
                session, self._claim, ping["id"], status=answer.status, error=answer.error
            )
        )

    def _page(self) -> list[Event]:
        page, newest = self._context.transact(
            lambda session: deliveries.pending(session, self._row, after=self._after, limit=_PAGE)
        )
        if not page and newest > self._after:
            self._context.transact(lambda session: deliveries.move(session, self._claim, newest))
        return page

    def _tell(self, poster: Poster, event: Event, until: float) -> bool:
        """Whether the next one may follow."""
        self._heartbeat.check()
        if self._is_over() or time.monotonic() >= until:
            return False
        answer = poster.post(_letter(f"evt_{event.id}", events.shown(event)))
        failpoint("webhook.posted")
        if answer.error is not None:
            self._fail(event, answer)
            return False
        status = answer.status or 0
        self._context.transact(
            lambda session: deliveries.delivered(session, self._claim, event.id, status)
        )
        self._after, self._failures = event.id, 0
        log.debug("event told", extra={"event_id": event.id, "status": status})
        return True

    def _fail(self, event: Event, answer: Answer) -> None:
        settings = self._context.settings
        failures = self._failures + 1
        gives_up = answer.status == _GONE or failures >= settings.webhook_failures
        failure = Failure(
            event.id,
            answer.status,
            answer.error or "",
            rest_s=max(answer.rest_s, rest_s(failures, first_s=settings.webhook_retry_s)),
            gives_up=gives_up,
        )
        self._context.transact(lambda session: deliveries.failed(session, self._claim, failure))
        told: Json = {"event_id": event.id, "status": answer.status, "failures": failures}
        if gives_up:
            log.error("webhook paused: %s", failure.error, extra=told)
        else:
            told["rest_s"] = round(failure.rest_s, 1)
            log.warning("event not taken: %s", failure.error, extra=told)


def rest_s(failures: int, *, first_s: float) -> float:
    """Seconds before the next trial: twice as long after each, up to hours, and never in step."""
    longest = min(first_s * 2.0 ** min(failures - 1, 32), _LONGEST_REST_S)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)


def _letter(letter_id: str, shown: Json) -> Letter:
    body = json.dumps(shown, ensure_ascii=False, default=lambda at: at.isoformat())
    return Letter(letter_id, body.encode())
