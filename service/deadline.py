"""Routes whose answers somebody waits for: too late, or for nobody, they are not worked out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from service.access.route import GuardedRoute
from service.counters import Counters
from service.errors import ClientGone, Fault, Invalid, TooLate
from service.settings import ServiceSettings
from service.threads import unheard

HEADER = "X-Request-Timeout-Ms"
_CLIENT = "lure.client"  # in a request's scope: who waits for it


class DeadlineRoute(GuardedRoute):
    """Gives a request up when its time is over (504) or its client has left.

    Its time is `LURE_PREDICT_TIMEOUT_S`, in which the wait for its body does not count: that has a
    bound of its own (408). Or it is less, body and all, where the client says so with
    `X-Request-Timeout-Ms`, or its body does (`shorten`). What waits in a queue then is not
    computed; what a thread is at comes to its end in a task of its own, which holds the room for it
    and which nobody waits for.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def timed(request: Request) -> Response:
            settings: ServiceSettings = request.app.state.settings
            counters: Counters = request.app.state.watch.counters
            asked_s, most_s = _asked_s(request), settings.predict_timeout_s
            client = _Client(request.receive, asked_s=asked_s, most_s=most_s)
            request.scope[_CLIENT] = client
            work = asyncio.create_task(handler(Request(request.scope, client.receive)))
            work.add_done_callback(unheard)
            try:
                async with client.patience:
                    return await asyncio.shield(work)
            except TimeoutError as error:
                if not client.patience.expired():
                    raise
                counters.refused("late")
                client.forget()  # whoever leaves now is told nothing
                work.cancel()
                await asyncio.sleep(0)  # it leaves its queue before its client hears of it
                raise TooLate(f"there was no answer within {client.patience_s:g} s") from error
            except asyncio.CancelledError as error:
                if not client.left:
                    raise
                counters.refused("gone")
                raise ClientGone("the client left before it was answered") from error
            finally:
                work.cancel()
                client.forget()

        return timed


def shorten(request: Request, seconds: float) -> None:
    """Give a request of a `DeadlineRoute` up so many seconds from now, if that is earlier."""
    client: _Client = request.scope[_CLIENT]
    client.shorten(seconds)


def _asked_s(request: Request) -> float:
    asked = request.headers.get(HEADER)
    if asked is None:
        return math.inf
    if not asked.isdecimal() or len(asked) > 9 or int(asked) == 0:
        words = f"{HEADER} is a whole number of milliseconds, at least 1"
        raise Invalid(words, [Fault(f"header:{HEADER}", words)])
    return int(asked) / 1000


class _Client:
    """Who sends a body, then waits for the answer, and may leave: then the task is cancelled.

    Args:
        asked_s: How long the client waits, from now on.
        most_s: How long we are at work for it at most, before its body comes and after that.
    """

    def __init__(self, receive: Receive, *, asked_s: float, most_s: float) -> None:
        self.left = False
        self._receive = receive
        self._task = asyncio.current_task()
        self._listening: asyncio.Task[None] | None = None
        self._now = asyncio.get_running_loop().time
        self._asked_until = self._now() + asked_s
        self._most_s = most_s
        self.patience_s = min(asked_s, most_s)
        self.patience = asyncio.timeout_at(self._at_work_until())

    async def receive(self) -> Message:
        if self._listening is not None:  # the body is complete
            return await self._receive()
        self._wait_until(self._asked_until)
        message = await self._receive()
        self._wait_until(self._at_work_until())
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._listening = asyncio.create_task(self._listen())
        return message

    def shorten(self, seconds: float) -> None:
        until, so_far = self._now() + seconds, self.patience.when()
        if so_far is None or until < so_far:
            self.patience_s = seconds
            self._wait_until(until)

    def forget(self) -> None:
        if self._listening is not None:
            self._listening.cancel()

    def _at_work_until(self) -> float:
        return min(self._asked_until, self._now() + self._most_s)

    def _wait_until(self, when: float) -> None:
        if not self.patience.expired():
            self.patience.reschedule(when)

    async def _listen(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left = True
            assert self._task is not None
            self._task.cancel()
