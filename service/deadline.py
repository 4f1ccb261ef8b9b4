"""Routes whose answers somebody waits for: too late, or for nobody, they are not worked out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from service.counters import Counters
from service.errors import ClientGone, Fault, Invalid, TooLate
from service.settings import ServiceSettings

HEADER = "X-Request-Timeout-Ms"


class DeadlineRoute(APIRoute):
    """Gives a request up when its time is over (504) or its client has left.

    Its time is `LURE_PREDICT_TIMEOUT_S`, or less where the client says so with
    `X-Request-Timeout-Ms`. What waits in a queue then is not computed.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def timed(request: Request) -> Response:
            settings: ServiceSettings = request.app.state.settings
            counters: Counters = request.app.state.watch.counters
            patience_s = _patience_s(request, settings.predict_timeout_s)
            client = _Client(request.receive)
            try:
                async with asyncio.timeout(patience_s) as deadline:
                    return await handler(Request(request.scope, client.receive))
            except TimeoutError as error:
                if not deadline.expired():
                    raise
                counters.refused("late")
                raise TooLate(f"there was no answer within {patience_s:g} s") from error
            except asyncio.CancelledError as error:
                if not client.left:
                    raise
                counters.refused("gone")
                raise ClientGone("the client left before it was answered") from error
            finally:
                client.forget()

        return timed


def _patience_s(request: Request, most_s: float) -> float:
    asked = request.headers.get(HEADER)
    if asked is None:
        return most_s
    if not asked.isdecimal() or len(asked) > 9 or int(asked) == 0:
        words = f"{HEADER} is a whole number of milliseconds, at least 1"
        raise Invalid(words, [Fault(f"header:{HEADER}", words)])
    return min(int(asked) / 1000, most_s)


class _Client:
    """Listens for the client's leaving once its body has come, and then cancels the task."""

    def __init__(self, receive: Receive) -> None:
        self.left = False
        self._receive = receive
        self._task = asyncio.current_task()
        self._listening: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._listening = asyncio.create_task(self._listen())
        return message

    def forget(self) -> None:
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left = True
            assert self._task is not None
            self._task.cancel()
