"""The experiment's folder: what lies where, and whether it belongs to these settings.

experiment.json     what every run in it has in common, and what each method stands for
records.jsonl       a line for every chunk of every run
work/               versions and half-done cycles of runs that are not finished
summary.*, *.png    the results
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lure_core.errors import ConfigError
from lure_core.experiment import methods
from lure_core.experiment.settings import Experiment

RECORDS = "records.jsonl"
WORK = "work"
_FACTS = "experiment.json"
KEPT = (_FACTS, RECORDS, WORK)
"""What an experiment is gone on with from."""

_MAY_DIFFER = {
    *("methods", "seeds", "budgets", "label_noise", "controls", "custom"),
    *("recipe", "unlearn", "replay"),
    *("out", "device", "jobs", "threads", "save_every_s", "tensorboard", "wandb"),
}
"""Settings that change no record, or that `Run` or the methods' definitions tell already."""


def claim(settings: Experiment, names: Iterable[str]) -> Path:
    """Make the folder, or go on with one that other seeds, methods, budgets and noise were run in.

    Args:
        settings: The experiment's.
        names: Of the methods that will be run.

    Raises:
        ConfigError: Its runs were made with other settings; says which.
    """
    folder = Path(settings.out)
    (folder / WORK).mkdir(parents=True, exist_ok=True)
    facts = _facts(settings, names)
    path = folder / _FACTS
    if path.exists():
        facts["methods"] = _agreed(folder, json.loads(path.read_text()), facts)
    replace_with(path, (json.dumps(facts, indent=1) + "\n").encode())
    return folder


def replace_with(path: Path, content: bytes) -> None:
    """Write a file so that at any moment the old or the new one is there, whole."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    beside.write_bytes(content)
    beside.replace(path)


def _agreed(folder: Path, known: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """All methods' definitions, if nothing contradicts what was run; else raises."""
    methods: dict[str, Any] = known["methods"] | now["methods"]
    try:
        _compare(folder, known["settings"], now["settings"], "experiment.")
        _compare(folder, known["methods"], now["methods"], "the method ")
    except ConfigError:
        if (folder / RECORDS).exists():
            raise
        for path in (folder / WORK).iterdir():  # nothing was finished: it begins anew
            path.unlink()
        methods = now["methods"]
    return methods


def _facts(settings: Experiment, names: Iterable[str]) -> dict[str, Any]:
    """As JSON gives it back."""
    values = settings.to_dict()
    facts = {
        "settings": {name: v for name, v in values.items() if name not in _MAY_DIFFER},
        "methods": {name: methods.resolve(name, settings).to_dict() for name in names},
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain


def _compare(folder: Path, known: dict[str, Any], now: dict[str, Any], what: str) -> None:
    for name in known.keys() & now.keys():
        if known[name] != now[name]:
            old, new = _difference(known[name], now[name])
            raise ConfigError(
                f"{folder} holds runs of other settings: {what}{name} was {old} there and is {new} "
                "here; choose another experiment.out, or remove the folder"
            )


def _difference(old: Any, new: Any) -> tuple[str, str]:
    """Only what differs of two objects; all of anything else."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        parts = [(name, _difference(old.get(name), new.get(name))) for name in names]
        return (
            ", ".join(f"{name} {a}" for name, (a, _) in parts),
            ", ".join(f"{name} {b}" for name, (_, b) in parts),
        )
    return json.dumps(old), json.dumps(new)
