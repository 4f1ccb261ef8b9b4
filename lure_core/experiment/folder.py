"""The experiment's folder: what lies where, and whether it belongs to these settings.

experiment.json     what every run in it has in common, and what each method stands for
.lock               held by the process that works in it
records.jsonl       a line for every chunk of every run
work/               versions and half-done cycles of runs that are not finished
summary.*, *.png    the results
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lure_core.errors import ConfigError
from lure_core.experiment import methods
from lure_core.experiment.settings import Experiment

RECORDS = "records.jsonl"
WORK = "work"
_FACTS = "experiment.json"
_LOCK = ".lock"
KEPT = (_FACTS, RECORDS, WORK)
"""What an experiment is gone on with from."""

_MAY_DIFFER = {
    *("methods", "seeds", "budgets", "label_noise", "controls", "custom"),
    *("recipe", "unlearn", "replay"),
    *("data", "out", "device", "resident_mib", "jobs", "threads", "save_every_s"),
    *("tensorboard", "wandb"),
}
"""Settings that change no record, or that `Run`, the methods' definitions or the data tell."""

_WORK_FILE = re.compile(
    r"(first_seed\d+_noise[\d.e-]+_[0-9a-f]{12}|.+_seed\d+_budget[\d-]+_noise[\d.e-]+)"
    r"\.(safetensors|chunk\d+\.half)(\.\d+\.new)?"
)
"""What a `Desk` names its files, after a run or a first chunk; no other file is ever removed."""


@contextmanager
def claim(settings: Experiment, names: Iterable[str], data: str) -> Iterator[Path]:
    """Make the folder, or go on with one that other seeds, methods, budgets and noise were run in.

    Nobody else can claim it until the context is left, or the process is gone.

    Args:
        settings: The experiment's.
        names: Of the methods that will be run.
        data: What tells the data from others; see `Source.fingerprint`.

    Raises:
        ConfigError: Another process works in it, its runs were made with other settings or data
            (says which), or it is the folder of something else.
    """
    folder = Path(settings.out)
    _refuse_foreign(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        facts = _facts(settings, names, data)
        path = folder / _FACTS
        if path.exists():
            facts["methods"] = _agreed(folder, _known(path), facts)
        replace_with(path, (json.dumps(facts, indent=1) + "\n").encode())
        (folder / WORK).mkdir(exist_ok=True)
        yield folder


def _refuse_foreign(folder: Path) -> None:
    """`experiment.json` is written first: where it is not, what bears our names is not ours."""
    if (folder / _FACTS).exists():
        return
    for name in (WORK, RECORDS):
        if (folder / name).exists():
            raise ConfigError(
                f"{folder} has {name} but no {_FACTS}: it is no experiment's folder; "
                "choose another experiment.out"
            )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """By the system's lock, which no kill can leave behind."""
    with (folder / _LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another process works in {folder}; wait for it, or choose another experiment.out"
            ) from None
        yield


def _known(path: Path) -> dict[str, Any]:
    """The facts of a folder that is gone on with."""
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
        if facts["settings"].keys() and facts["methods"].keys():
            return facts
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ConfigError(f"{path} is no experiment's; choose another experiment.out")


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
        _compare_data(folder, known, now)
    except ConfigError:
        if (folder / RECORDS).exists():
            raise
        for path in (folder / WORK).glob("*"):  # nothing was finished: it begins anew
            if _WORK_FILE.fullmatch(path.name):
                path.unlink()
        methods = now["methods"]
    return methods


def _facts(settings: Experiment, names: Iterable[str], data: str) -> dict[str, Any]:
    """As JSON gives it back."""
    values = settings.to_dict()
    facts = {
        "data": data,
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


def _compare_data(folder: Path, known: dict[str, Any], now: dict[str, Any]) -> None:
    if known.get("data", now["data"]) != now["data"]:
        raise ConfigError(
            f"{folder} holds runs of other data: the labels, classes or files of experiment.data "
            "are not those of then; choose another experiment.out, or remove the folder"
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
