"""Versions: immutable integers with their whole record."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from store import events
from store.blobs import pin
from store.errors import NotFound
from store.models import Stream, Version
from store.pages import Page, fetch


def add(session: Session, stream: Stream, version: Version) -> Version:
    """Give the version its number and insert it. The stream's row must be locked.

    Raises:
        BlobMissing: Its bytes were collected meanwhile.
    """
    named = (
        *(version.digest, version.sidecar_digest),
        *(version.mask_digest, version.scores_digest),
    )
    pin(session, *filter(None, named))
    version.stream_id = stream.id
    version.version = stream.next_version
    stream.next_version += 1
    session.add(version)
    session.flush()
    events.note(
        session,
        "version.created",
        stream,
        cycle=version.cycle_id,
        version=version.version,
        accuracy=version.accuracy,
    )
    return version


def get(session: Session, stream: Stream, number: int) -> Version:
    """The version of that number in that stream, or NotFound."""
    version = session.get(Version, (stream.id, number))
    if version is None:
        raise NotFound("version", number)
    return version


def page(
    session: Session, stream: Stream, *, size: int, before: int | None = None
) -> Page[Version]:
    """The stream's versions, newest first, without the configurations of their cycles."""
    query = select(Version).where(Version.stream_id == stream.id)
    query = query.options(defer(Version.config, raiseload=True))
    return fetch(session, query, Version.version, size=size, before=before)
