"""Streams: locked by whoever changes them, or what hangs on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from store import events
from store.errors import AlreadyExists, Conflict, NotFound
from store.locks import locked
from store.models import Json, Stream
from store.pages import Page, fetch


def add(session: Session, stream: Stream) -> Stream:
    """Insert a new stream.

    Raises:
        AlreadyExists: The name is taken.
    """
    session.add(stream)
    try:
        session.flush()
    except IntegrityError as error:
        raise AlreadyExists(f"a stream named {stream.name!r} exists already") from error
    events.note(session, "stream.created", stream)
    return stream


def get(session: Session, name: str) -> Stream:
    """The stream of that name, or NotFound."""
    stream = session.scalar(select(Stream).where(Stream.name == name))
    if stream is None:
        raise NotFound("stream", name)
    return stream


def name_of(session: Session, stream_id: int) -> str:
    """The name of a stream that is there."""
    return session.scalars(select(Stream.name).where(Stream.id == stream_id)).one()


def lock(session: Session, stream_id: int) -> Stream:
    """The stream's row, locked until the transaction ends: the first lock of every order."""
    stream = session.scalar(locked(select(Stream).where(Stream.id == stream_id)))
    if stream is None:
        raise NotFound("stream", stream_id)
    return stream


def page(session: Session, *, size: int, before: int | None = None) -> Page[Stream]:
    """Streams, newest first."""
    return fetch(session, select(Stream), Stream.id, size=size, before=before)


@dataclass(frozen=True)
class Settings:
    """What of a stream can be changed."""

    recipe: Json
    policies: Json


def change(session: Session, stream: Stream, wanted: Settings, *, who: str) -> None:
    """Give the stream other settings; cycles that have begun keep theirs. The row must be locked.

    Raises:
        Conflict: The hold-out is to change though images have their roles already.
    """
    before = Settings(stream.recipe, stream.policies)
    if _spelled(wanted) == _spelled(before):
        return
    if stream.next_position > 1 and _holdout(wanted) != _holdout(before):
        raise Conflict(
            "policies.holdout is fixed once there is a chunk: an image keeps its role for life,"
            " or what was learned from would be judged by"
        )
    stream.recipe, stream.policies = wanted.recipe, wanted.policies
    stream.seed = wanted.recipe.get("seed", stream.seed)
    stream.revision += 1
    events.note(session, "stream.changed", stream, revision=stream.revision, who=who)


def _spelled(settings: Settings) -> str:
    """As the row keeps it, where a tuple and a list are the same."""
    return json.dumps(asdict(settings), sort_keys=True)


def _holdout(settings: Settings) -> Any:
    return settings.policies.get("holdout")


def every(session: Session) -> Sequence[Stream]:
    """All streams, oldest first."""
    return session.scalars(select(Stream).order_by(Stream.id)).all()


def fix_shape(stream: Stream, *, classes: list[str], input_spec: Json) -> None:
    """Fix what the stream did not state, from its first good chunk. The row must be locked."""
    if stream.classes is None:
        stream.classes = classes
    if stream.input is None:
        stream.input = input_spec


def fix_normalisation(stream: Stream, normalisation: Json) -> Json:
    """Fix mean and deviation at the first claim, once and for all. The row must be locked."""
    if stream.normalisation is None:
        stream.normalisation = normalisation
    return stream.normalisation


def shape_is_fixed(stream: Stream) -> bool:
    """Whether class list and input size are known."""
    return stream.classes is not None and stream.input is not None
