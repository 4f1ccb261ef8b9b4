"""Requests to an object store: counted, and their failures told in words of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError

from store.errors import BlobsAway

_OF_ONE = frozenset({"get", "head", "delete"})  # else what is not found is the bucket

Told = Callable[[str, bool], None]


def untold(_operation: str, _failed: bool) -> None:
    """Nobody wants to hear of it."""


@contextmanager
def asking(operation: str, told: Told) -> Iterator[None]:
    """One request, or a few of a kind; each was tried again, within bounds.

    Raises:
        BlobsAway: The store cannot be reached, or it refuses us.
        FileNotFoundError: There is no such object; of what is asked of one object.
    """
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        is_answer = isinstance(error, FileNotFoundError) and operation in _OF_ONE
        told(operation, not is_answer)
        if is_answer:
            raise
        reason = str(error).partition("\n")[0]
        raise BlobsAway(f"the object store did not {operation}: {reason}") from error
    told(operation, False)
