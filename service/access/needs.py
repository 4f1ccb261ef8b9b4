"""Which operation needs which scope: this page says it for every one of them.

An operation is called by its name in the OpenAPI document. One that is not on this page needs
`admin`, and a test fails until it is. `admin` opens everything; a key that is bound to a stream
opens what belongs to that stream, and what is open to all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from store.keys import ADMIN, INGEST, METRICS, PREDICT, READ

_OPEN = ()  # no key is asked for: what tells nothing of anybody's data
_PREDICT, _INGEST, _READ, _ADMIN = (PREDICT,), (INGEST,), (READ,), (ADMIN,)
_ABOUT_MODELS = (PREDICT, READ)  # what stock clients ask before they ask for a prediction
_ABOUT_FIGURES = (METRICS, READ)  # who scrapes them needs no weights
_ABOUT_CHUNKS = (INGEST, READ)  # what became of what was sent

_OPERATIONS: dict[str, tuple[str, ...]] = {
    # health, and which release this is
    "livez": _OPEN,
    "readyz": _OPEN,
    "ping": _OPEN,
    "health": _OPEN,
    "version": _OPEN,
    "get_server_live": _OPEN,
    "get_server_ready": _OPEN,
    "get_server_metadata": _OPEN,
    # predictions, in every spelling
    "predict": _PREDICT,
    "infer": _PREDICT,
    "infer_by_version": _PREDICT,
    "invoke": _PREDICT,
    "classify": _PREDICT,
    "classify_by_version": _PREDICT,
    "get_model_metadata": _ABOUT_MODELS,
    "get_version_metadata": _ABOUT_MODELS,
    "get_model_ready": _ABOUT_MODELS,
    "get_version_ready": _ABOUT_MODELS,
    # what is learned from
    "upload_chunk": _INGEST,
    "release_chunk": _INGEST,
    "give_feedback": _INGEST,
    "list_chunks": _ABOUT_CHUNKS,
    "get_chunk": _ABOUT_CHUNKS,
    "get_chunk_report": _ABOUT_CHUNKS,
    # what there is
    "metrics": _ABOUT_FIGURES,  # open by setting too
    "list_workers": _READ,
    "list_streams": _READ,
    "get_stream": _READ,
    "get_stream_metrics": _READ,
    "list_cycles": _READ,
    "get_cycle": _READ,
    "list_versions": _READ,
    "get_version": _READ,
    "get_lineage": _READ,
    "get_unlearning": _READ,
    "draw_unlearning": _READ,
    "get_mask": _READ,
    "list_artifacts": _READ,
    "get_weights": _READ,
    "get_sidecar": _READ,
    "get_onnx": _READ,
    "list_aliases": _READ,
    "get_alias": _READ,
    "get_alias_history": _READ,
    "list_reruns": _READ,
    "get_rerun": _READ,
    "list_models": _READ,
    "list_repository": _READ,
    "get_statistics": _READ,
    "get_model_statistics": _READ,
    "get_version_statistics": _READ,
    "all_events": _READ,
    "stream_events": _READ,
    "cycle_events": _READ,
    # what changes what others see, or costs hours of computing
    "create_stream": _ADMIN,
    "change_stream": _ADMIN,
    "put_alias": _ADMIN,
    "delete_alias": _ADMIN,
    "rollback_alias": _ADMIN,
    "release_alias": _ADMIN,
    "set_default": _ADMIN,
    "delete_weights": _ADMIN,
    "retry_onnx": _ADMIN,
    "reproduce_version": _ADMIN,
    "cancel_rerun": _ADMIN,
    # who is told of it
    "create_webhook": _ADMIN,
    "list_webhooks": _ADMIN,
    "get_webhook": _ADMIN,
    "change_webhook": _ADMIN,
    "delete_webhook": _ADMIN,
    "test_webhook": _ADMIN,
    # who may do it
    "create_key": _ADMIN,
    "list_keys": _ADMIN,
    "get_key": _ADMIN,
    "revoke_key": _ADMIN,
    "list_audit": _ADMIN,
}
# not in the audit log: they change nothing, or (feedback) are as many as the predictions
_UNAUDITED = frozenset({"give_feedback", "list_repository"})
_LASTING = frozenset({"all_events", "stream_events", "cycle_events"})
_ASIDE = frozenset({"invoke"})
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_STREAM_PARAMETERS = ("stream", "model")


@dataclass(frozen=True)
class Need:
    """What an operation asks of who calls it.

    Attributes:
        action: The operation.
        scopes: One of them is needed; none: it is open.
        is_audited: Whether it goes into the audit log where it changes something.
        is_lasting: Whether its answer may go on for days.
        names_stream_aside: Whether its stream stands in `?stream=` or `X-Stream`, not in its path.
    """

    action: str
    scopes: tuple[str, ...]
    is_audited: bool
    is_lasting: bool
    names_stream_aside: bool

    @property
    def is_open(self) -> bool:
        return not self.scopes

    @cached_property
    def accepted(self) -> frozenset[str]:
        """Any of these scopes is enough."""
        return frozenset({*self.scopes, ADMIN})

    def is_recorded(self, method: str) -> bool:
        """Whether a request with that method goes into the audit log."""
        return self.is_audited and method in _CHANGING


def of(action: str) -> Need:
    """What the operation needs."""
    scopes = _OPERATIONS.get(action, _ADMIN)
    audited = scopes is not _PREDICT and action not in _UNAUDITED
    return Need(action, scopes, audited, action in _LASTING, action in _ASIDE)


def is_declared(action: str) -> bool:
    """Whether this page says what the operation needs."""
    return action in _OPERATIONS


def stream_of(parameters: dict[str, str]) -> str | None:
    """The stream that a request's path names; models are streams."""
    for name in _STREAM_PARAMETERS:
        if name in parameters:
            return parameters[name]
    return None
