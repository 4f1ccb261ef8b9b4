"""Webhooks: made, listed, paused, tested and deleted; workers do the telling."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from service import waiting
from service.access.journal import note
from service.bounded import JsonRoute
from service.deps import DatabaseDep, PrincipalDep, SettingsDep
from service.errors import Fault, Invalid
from service.headers import sent
from service.openapi import JSON_BODY, refusals
from service.params import ID, PageSize, PageToken, key_of
from service.schemas.common import Page, page_of
from service.schemas.webhooks import MadeWebhook, NewWebhook, WebhookPatch, WebhookShape
from store import webhooks
from store.engine import Database
from store.errors import Conflict, NotFound, SchemaOlder
from store.events import NAMES
from store.outside import BadUrl, check_url

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=JsonRoute)

_TEST_S = 15.0  # for a worker to make the call

WebhookId = Annotated[str, Path(pattern=ID, description="The webhook's id")]
FromEvent = Annotated[
    int | None,
    Query(ge=0, le=2**63 - 1, description="Behind which event to begin; unless said, now"),
]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Asked:
    """Who asks for a webhook, and where it is to begin."""

    request: Request
    principal: PrincipalDep
    from_event: FromEvent = None


@router.post(
    "",
    status_code=201,
    responses=refusals(
        NotFound,
        Conflict,
        SchemaOlder,
        *JSON_BODY,
        _201={"description": "It is made", **sent("Location")},
    ),
    summary="Have somebody told of events",
)
def create_webhook(
    wish: NewWebhook,
    asked: Annotated[Asked, Depends()],
    response: Response,
    database: DatabaseDep,
    settings: SettingsDep,
) -> MadeWebhook:
    """The answer tells the secret that signs, this once. See docs/webhooks.md."""
    secret = _checked(wish, private=settings.webhook_private)
    wanted = webhooks.Wanted(wish.url, secret, wish.stream, wish.events, asked.from_event)
    with database.begin() as session:
        row = webhooks.add(session, wanted, who=asked.principal.who)
    note(asked.request.scope, webhook=row.id, events=row.names, stream=row.stream)
    note(asked.request.scope, host=urlsplit(row.url).hostname)  # its path may hold a secret
    log.info("webhook made", webhook=row.id, events=row.names, stream=row.stream)
    response.headers["cache-control"] = "no-store"
    response.headers["location"] = f"/v1/webhooks/{row.id}"
    return MadeWebhook.made(row)


@router.get("", responses=refusals(SchemaOlder), summary="All webhooks, newest first")
def list_webhooks(
    database: DatabaseDep, page_size: PageSize = 50, page_token: PageToken = None
) -> Page[WebhookShape]:
    with database.begin() as session:
        page = webhooks.page(session, size=page_size, before=key_of(page_token))
    return page_of(page, WebhookShape.of)


@router.get("/{webhook}", responses=refusals(NotFound, SchemaOlder), summary="One webhook")
def get_webhook(webhook: WebhookId, database: DatabaseDep) -> WebhookShape:
    with database.begin() as session:
        return WebhookShape.of(webhooks.get(session, webhook))


@router.patch(
    "/{webhook}",
    responses=refusals(NotFound, SchemaOlder, *JSON_BODY),
    summary="Pause or resume a webhook",
)
def change_webhook(webhook: WebhookId, patch: WebhookPatch, database: DatabaseDep) -> WebhookShape:
    """While it is paused nothing is lost: when it is resumed, it goes on where it stopped."""
    change = webhooks.pause if patch.paused else webhooks.resume
    with database.begin() as session:
        row = change(session, webhook)
    log.info("webhook changed", paused=row.is_paused)
    return WebhookShape.of(row)


@router.delete(
    "/{webhook}",
    status_code=204,
    response_class=Response,
    responses=refusals(NotFound, SchemaOlder),
    summary="Delete a webhook",
)
def delete_webhook(webhook: WebhookId, database: DatabaseDep) -> None:
    with database.begin() as session:
        webhooks.delete(session, webhook)
    log.info("webhook deleted")


@router.post(
    "/{webhook}:test",
    responses=refusals(NotFound, SchemaOlder),
    summary="Have a worker call it once",
)
async def test_webhook(webhook: WebhookId, database: DatabaseDep) -> WebhookShape:
    """A signed `webhook.ping`, also while it is paused; `test` tells what came of it.

    Waits up to 15 s; if `test.at` is null then, no worker has made the call yet.
    """
    asked = await run_in_threadpool(_ask, database, webhook)
    found = await waiting.settled(
        partial(get_webhook, webhook, database),
        lambda shape: shape.test is None or shape.test.at is not None,
        seconds=_TEST_S,
    )
    return found or asked


def _ask(database: Database, webhook: str) -> WebhookShape:
    with database.begin() as session:
        return WebhookShape.of(webhooks.ask_ping(session, webhook))


def _checked(wish: NewWebhook, *, private: bool) -> str:
    """The secret to sign with.

    Raises:
        Invalid: The address may not be called, an event is unknown, or the secret is none.
    """
    faults = []
    try:
        check_url(wish.url, private=private)
    except BadUrl as bad:
        faults.append(Fault("/url", str(bad)))
    kinds = {f"{name.partition('.')[0]}.*" for name in NAMES}
    for index, name in enumerate(wish.events or ()):
        if name not in NAMES and name not in kinds:
            near = difflib.get_close_matches(name, sorted(NAMES | kinds), n=2)
            words = f"there is no event {name}"
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            faults.append(Fault(f"/events/{index}", words + hint))
    secret = wish.secret or webhooks.new_secret()
    try:
        webhooks.secret_bytes(secret)
    except ValueError as error:
        faults.append(Fault("/secret", str(error)))
    if faults:
        raise Invalid(f"{faults[0].pointer}: {faults[0].detail}", faults)
    return secret
