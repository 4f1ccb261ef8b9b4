"""The rows. Every constraint that the semantics lean on is the database's own."""

from store.models.base import Base, Json, new_id
from store.models.learning import Chunk, Cycle, Stream
from store.models.ledger import Answer, Blob, Event
from store.models.registry import Alias, AliasMove, Version
from store.models.serving import Replica, Serving

__all__ = [
    "Alias",
    "AliasMove",
    "Answer",
    "Base",
    "Blob",
    "Chunk",
    "Cycle",
    "Event",
    "Json",
    "Replica",
    "Serving",
    "Stream",
    "Version",
    "new_id",
]
