"""Routes with the gate before them: nothing of a body is read of who may not come in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from service.access import NOBODY, PRINCIPAL, Principal, needs
from service.access.gate import Gate
from service.access.journal import Recording
from service.access.needs import Need

_LOOK_EVERY_S = 2.0


class GuardedRoute(APIRoute):
    """Asks the gate, names who acts in the request's scope, and has changes written down."""

    @cached_property
    def need(self) -> Need:
        return needs.of(self.name)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse or go on; a method that is not possible here is told of by the route itself."""
        if self.need.is_open or scope["method"] not in (self.methods or ()):
            scope[PRINCIPAL] = NOBODY
            await super().handle(scope, receive, send)
            return
        gate: Gate = scope["app"].state.gate
        admitted = await gate.admit(self.need, scope)
        principal = scope[PRINCIPAL] = admitted.principal
        if admitted.headers:
            send = _with(admitted.headers, send)
        if self.need.is_lasting:
            await self._while_it_opens(gate, principal, scope, receive, send)
        elif self.need.is_recorded(scope["method"]):
            recording = gate.journal.recording(self.need, scope, principal, send)
            await self._recorded(recording, scope, receive)
        else:
            await super().handle(scope, receive, send)

    async def _recorded(self, recording: Recording, scope: Scope, receive: Receive) -> None:
        try:
            await super().handle(scope, receive, recording)
        except Exception:  # answered further out, as a failure of the service
            await recording.write(500)
            raise

    async def _while_it_opens(
        self, gate: Gate, principal: Principal, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """End an answer that goes on for days when its key does not open it any more."""
        client = _Client(gate, principal, receive, send)
        await super().handle(scope, client.receive, client.send)
        await client.end()


class _Client:
    """Seems to leave when its key ends."""

    def __init__(self, gate: Gate, principal: Principal, receive: Receive, send: Send) -> None:
        self._gate = gate
        self._principal = principal
        self._receive = receive
        self._send = send
        self._began = self._ended = self._dismissed = False

    async def receive(self) -> Message:
        waiting = asyncio.ensure_future(self._receive())
        try:
            while not (await asyncio.wait([waiting], timeout=_LOOK_EVERY_S))[0]:
                if not self._gate.still_opens(self._principal):
                    self._dismissed = True
                    return {"type": "http.disconnect"}
            return waiting.result()
        finally:
            waiting.cancel()

    async def send(self, message: Message) -> None:
        self._began = True
        self._ended = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def end(self) -> None:
        """Close what was left open, because nobody but us left."""
        if self._dismissed and self._began and not self._ended:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _with(headers: Mapping[str, str], send: Send) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return told


def operations(app: FastAPI) -> Iterator[APIRoute]:
    """Every operation of the application, also those that the OpenAPI document leaves out."""
    return _operations(app.routes)


def _operations(routes: Sequence[BaseRoute]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif (inner := getattr(route, "original_router", None)) is not None:
            yield from _operations(inner.routes)  # newer FastAPI includes a router as it is


def check(app: FastAPI) -> None:
    """Raise RuntimeError if an operation has no gate before it."""
    bare = [route.name for route in operations(app) if not isinstance(route, GuardedRoute)]
    if bare:
        raise RuntimeError(f"no gate before {', '.join(bare)}: route_class=GuardedRoute is missing")
