"""Every error that the service raises on purpose, and the ONE table from errors to HTTP.

ServiceError
├── Invalid               the request's content is refused; `faults` says where
│   └── EmptyBody
├── WrongDigest           the body is not what its Content-Digest says
├── UnsupportedMediaType  nobody here reads that kind of body
├── TooLarge              the body is larger than the cap
├── TooSlow               the client sent nothing, or not all, in time
├── TooLate               the answer was not ready in the time that the request had
├── ClientGone            the client left before it was answered
├── DiskFull              the blobs' disk is nearly full
├── QuotaUsedUp           as many bytes as may be are stored already
├── RangeNotSatisfiable   no part that is asked for lies in the file
├── PreconditionRequired  a change without If-Match
├── Unauthenticated       no valid API key came with the request
├── Forbidden             the key that came does not allow this
├── TooMany               too many requests came in a while
├── Gone                  it was there, and was deleted for good
├── NothingServed         the stream has no version to predict with yet
├── ModelAway             a version's bytes cannot be read now (try again)
└── Overloaded            too much is waiting already (try again)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from lure_core import errors as core
from store import errors as store


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: a JSON pointer (RFC 6901) or a part's name, and words."""

    pointer: str
    detail: str


class ServiceError(Exception):
    """The message is fit to be shown to the caller; the headers go with the refusal."""

    headers: Mapping[str, str] = {}


class Invalid(ServiceError):
    """The request is understood, and its content refused."""

    def __init__(self, detail: str, faults: list[Fault] | None = None) -> None:
        super().__init__(detail)
        self.faults = faults or []

    def moved(self, before: str, now: str) -> Invalid:
        """The same refusal; pointers that began with `before` begin with `now`."""
        faults = [
            Fault(now + fault.pointer.removeprefix(before), fault.detail)
            if fault.pointer.startswith(before)
            else fault
            for fault in self.faults
        ]
        return Invalid(str(self), faults)


class EmptyBody(Invalid):
    """There is nothing in the body."""


class WrongDigest(ServiceError):
    """The body does not have the digest that was announced."""


class UnsupportedMediaType(ServiceError):
    """Nobody here reads that kind of body."""


class TooLarge(ServiceError):
    """The body is larger than the cap."""


class TooSlow(ServiceError):
    """The body did not come in time."""


class TooLate(ServiceError):
    """The answer was not ready in the time that the request had."""


class ClientGone(ServiceError):
    """The client left before it was answered, most often before its body was complete."""


class DiskFull(ServiceError):
    """Too little space is left where the blobs lie."""


class QuotaUsedUp(ServiceError):
    """As many bytes as may be are stored already."""


class RangeNotSatisfiable(ServiceError):
    """No part that is asked for lies in the file."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the file ends before that: it has {size_bytes} bytes")
        self.headers = {"content-range": f"bytes */{size_bytes}"}


class PreconditionRequired(ServiceError):
    """A change was asked for without saying which state it is meant for."""


class Unauthenticated(ServiceError):
    """No valid API key came with the request."""

    headers: Mapping[str, str] = {"www-authenticate": 'Bearer realm="lure"'}


class Forbidden(ServiceError):
    """The key that came does not allow this."""


class TooMany(ServiceError):
    """Too many requests came in a while; the headers say when to come again."""

    def __init__(self, detail: str, headers: Mapping[str, str]) -> None:
        super().__init__(detail)
        self.headers = headers


class Gone(ServiceError):
    """It was there, and was deleted for good."""


class NothingServed(ServiceError):
    """The stream has no version to predict with yet."""


class ModelAway(ServiceError):
    """The bytes of a version are missing or damaged; the service goes on trying."""


class Overloaded(ServiceError):
    """Too much is waiting already; try again."""


@dataclass(frozen=True)
class Kind:
    """How an error is told: `detail` replaces a message that is not for strangers."""

    status: HTTPStatus
    slug: str
    title: str
    detail: str | None = None
    retry_after_s: int | None = None


_S = HTTPStatus
INTERNAL = Kind(
    _S.INTERNAL_SERVER_ERROR,
    "internal",
    "The service failed",
    detail="the service failed; its log tells more under this trace_id",
)
TABLE: dict[type[Exception], Kind] = {
    store.NotFound: Kind(_S.NOT_FOUND, "not-found", "There is no such thing"),
    store.AlreadyExists: Kind(_S.CONFLICT, "exists", "The name is taken"),
    store.Conflict: Kind(_S.CONFLICT, "conflict", "Its state does not allow this"),
    store.PreconditionFailed: Kind(_S.PRECONDITION_FAILED, "stale", "It changed since you read it"),
    store.KeyReused: Kind(
        _S.UNPROCESSABLE_ENTITY, "key-reused", "The idempotency key belongs to another payload"
    ),
    store.DatabaseAway: Kind(
        _S.SERVICE_UNAVAILABLE,
        "database-away",
        "The database cannot be reached",
        detail="the database cannot be reached or is busy; if this was to change something, read"
        " whether it did, or send it again with the same Idempotency-Key",
        retry_after_s=2,
    ),
    store.BlobsAway: Kind(
        _S.SERVICE_UNAVAILABLE,
        "storage-away",
        "The object store cannot be reached",
        detail="the object store cannot be reached or refuses the service, so nothing was kept;"
        " send it again in a while",
        retry_after_s=5,
    ),
    store.SchemaOlder: Kind(
        _S.SERVICE_UNAVAILABLE,
        "schema-older",
        "The database's schema is older than this service",
        detail="the database's schema is older; run the migration: python -m store.admin migrate",
        retry_after_s=30,
    ),
    store.BlobMissing: INTERNAL,
    store.BlobDamaged: INTERNAL,
    core.BadArchive: Kind(_S.UNPROCESSABLE_ENTITY, "bad-archive", "The archive is refused"),
    core.BadImage: Kind(_S.UNPROCESSABLE_ENTITY, "bad-image", "The image is refused"),
    core.ConfigError: Kind(_S.UNPROCESSABLE_ENTITY, "invalid", "The request is not valid"),
    core.UnknownArchitecture: Kind(_S.UNPROCESSABLE_ENTITY, "invalid", "The request is not valid"),
    Invalid: Kind(_S.UNPROCESSABLE_ENTITY, "invalid", "The request is not valid"),
    EmptyBody: Kind(_S.UNPROCESSABLE_ENTITY, "empty", "The body is empty"),
    WrongDigest: Kind(_S.UNPROCESSABLE_ENTITY, "wrong-digest", "The body is not what it should be"),
    UnsupportedMediaType: Kind(
        _S.UNSUPPORTED_MEDIA_TYPE, "media-type", "This kind of body is not understood"
    ),
    TooLarge: Kind(_S.REQUEST_ENTITY_TOO_LARGE, "too-large", "The body is too large"),
    TooSlow: Kind(_S.REQUEST_TIMEOUT, "too-slow", "The body did not come in time"),
    TooLate: Kind(_S.GATEWAY_TIMEOUT, "too-late", "The answer was not ready in time"),
    ClientGone: Kind(_S.BAD_REQUEST, "incomplete", "The body is incomplete"),
    DiskFull: Kind(_S.INSUFFICIENT_STORAGE, "disk-full", "The disk is nearly full"),
    QuotaUsedUp: Kind(_S.INSUFFICIENT_STORAGE, "quota-used-up", "The quota is used up"),
    RangeNotSatisfiable: Kind(
        _S.REQUESTED_RANGE_NOT_SATISFIABLE, "range", "There is no such part of the file"
    ),
    PreconditionRequired: Kind(
        _S.PRECONDITION_REQUIRED, "precondition-required", "A precondition is needed"
    ),
    Unauthenticated: Kind(_S.UNAUTHORIZED, "unauthenticated", "A valid API key is needed"),
    Forbidden: Kind(_S.FORBIDDEN, "forbidden", "The key does not allow this"),
    TooMany: Kind(_S.TOO_MANY_REQUESTS, "rate-limited", "Too many requests", retry_after_s=60),
    Gone: Kind(_S.GONE, "gone", "It is not there any more"),
    NothingServed: Kind(_S.CONFLICT, "nothing-served", "Nothing is served yet", retry_after_s=5),
    ModelAway: Kind(
        _S.SERVICE_UNAVAILABLE, "model-away", "The model cannot be loaded", retry_after_s=5
    ),
    Overloaded: Kind(_S.SERVICE_UNAVAILABLE, "overloaded", "Too much is waiting", retry_after_s=1),
}
_PLAIN = (
    Kind(_S.BAD_REQUEST, "bad-request", "The request cannot be read"),
    Kind(_S.METHOD_NOT_ALLOWED, "method-not-allowed", "This method is not possible here"),
)
# by its number alone, for what the framework and the routes refuse before an endpoint is reached
BY_STATUS: dict[int, Kind] = {
    int(kind.status): kind
    for kind in (
        TABLE[store.NotFound],
        TABLE[TooSlow],
        TABLE[TooLarge],
        TABLE[UnsupportedMediaType],
        *_PLAIN,
    )
}


def kind_of(error: Exception) -> Kind:
    """The row of the nearest class; what the table does not know is the service's own fault."""
    for cls in type(error).__mro__:
        if cls in TABLE:
            return TABLE[cls]
    return INTERNAL
