"""The rows. Every constraint that the semantics lean on is the database's own."""

from store.models.access import ApiKey, AuditEntry
from store.models.base import Base, Json, new_id
from store.models.learning import Chunk, Cycle, Rerun, Stream
from store.models.ledger import Answer, Blob, Event, StoreIdentity
from store.models.operations import StageTotal, Trace, Webhook, WorkerLease
from store.models.registry import Alias, AliasMove, Artifact, Version
from store.models.serving import Feedback, Pack, Replica, Serving

__all__ = [
    "Alias",
    "AliasMove",
    "Answer",
    "ApiKey",
    "Artifact",
    "AuditEntry",
    "Base",
    "Blob",
    "Chunk",
    "Cycle",
    "Event",
    "Feedback",
    "Json",
    "Pack",
    "Replica",
    "Rerun",
    "Serving",
    "StageTotal",
    "StoreIdentity",
    "Stream",
    "Trace",
    "Version",
    "Webhook",
    "WorkerLease",
    "new_id",
]
