"""The flags of the published code, so that its command lines run as they stand.

Source: LURE_main.py and ALMA.py of https://github.com/NeurAI-Lab/LURE, and its README.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any

from lure_core.config import Recipe
from lure_core.errors import ConfigError
from lure_core.experiment.cuts import DEFAULT_CHUNKS

_SAME: Mapping[str, str] = {
    "meta_batch_size": "chunk_size",
    "meta_batch_number": "chunks",
    "batch_size": "recipe.batch_size",
    "weight_decay": "recipe.weight_decay",
    "replay": "replay.kind",
}
"""Flags that mean one of our settings by another name."""

_SPELT_ALIKE = ("--batch_size", "--weight_decay")
"""Ours but for the dash: they make no published line."""

_VALUES: Mapping[str, type] = {
    "meta_batch_size": int,
    "meta_batch_number": int,
    "snip_size": float,
    "decreasing_lr": str,
    "n_shots": int,
    "buffer_size_train": int,
    "seed": int,
    "imagenet_path": str,
    "log_dir": str,
    "save_dir": str,
    "run": str,
}
"""Flags that take a value and are translated below; with dashes for underscores too."""

_BOTH = frozenset({"data"})
"""What a published line gives and then means otherwise: `--data` beside `--imagenet_path`."""

_UNDERSCORED: Mapping[str, type] = {"batch_size": int, "weight_decay": float}
"""The same, where the dashed flag is ours."""

_REPLAY = {"no_replay": "none", "one_replay": "one"}

_METHODS = {
    "--use_snip": "lure",
    "--use_randinit": "scratch",
    "--use_llf": "later-layers",
    "--use_fc": "last-layer",
    "--use_shrink_perturb": "shrink-perturb",
    "--weight_pruning": "magnitude-reset",
}

_IGNORED: Mapping[str, str] = {
    "--sparsity_level": "the published code reads it nowhere",
    "--buffer_size_val": "the buffer holds select images in proportion",
    "--gpu": "--device says where it runs",
    "--workers": "images are decoded by as many threads as there are processors",
    "--print_freq": "progress shows by itself",
    "--checkpoint": "an experiment goes on from its folder",
    "--project_name": "no project of that name is needed",
    "--warmup": "the published schedule has none",
    "--tickets_mask": "no mask is loaded",
    "--tickets_init": "no initialisation is loaded",
    "--pruner": "--methods says what is scored how",
    "--scope": "weights are ranked over all layers",
}
_IGNORED_SWITCHES: Mapping[str, str] = {
    "--resume": "an experiment goes on from its folder",
    "--imagenet_arch": "the input's size decides",
    "-snip_no_replay": "saliency is taken on new data anyway",
}

_PUBLISHED_BUFFER = 182  # images that the published code adds after every chunk
_PUBLISHED_SHOTS = 100

_LOOKS_PUBLISHED = re.compile(r"-[a-z]\w|--[a-z]+_")


def add(parser: argparse.ArgumentParser) -> None:
    """Teach a parser the published flags, without a line in its help."""

    def learn(*flags: str, **how: Any) -> None:
        parser.add_argument(*flags, help=argparse.SUPPRESS, **how)

    for flag, kind in _UNDERSCORED.items():
        learn(f"--{flag}", dest=f"published.{flag}", type=kind)
    for flag, kind in _VALUES.items():
        dashed = dict.fromkeys((f"--{flag}", f"--{flag.replace('_', '-')}"))
        learn(*dashed, dest=f"published.{flag}", type=kind)
    for name, replayed in _REPLAY.items():
        learn(
            f"-{name}", f"--{name}", dest="published.replay", action="store_const", const=replayed
        )
    learn("-few_shot", "--few_shot", dest="published.few_shot", action="store_true")
    learn("-buffer_replay", "--buffer_replay", dest="published.buffer_replay", action="store_true")
    for flag, method in _METHODS.items():
        learn(flag, dest="published.use", action="append_const", const=method)
    learn("-wb", dest="published.wb", action="store_true")
    for flag in (*_IGNORED, *_IGNORED_SWITCHES):
        switch = {"action": "store_true"} if flag in _IGNORED_SWITCHES else {}
        learn(flag, dest=f"ignored.{flag}", **switch)


def is_theirs(dest: str) -> bool:
    """Whether a parsed value is of a published flag that no setting is named by."""
    return dest.startswith(("published.", "ignored."))


@dataclass
class _Line:
    """A command line on its way to settings.

    Attributes:
        flags: Published flags that were given, without their dashes.
        ours: Paths of settings that our own flags gave.
        values: All settings so far: of presets, files and our own flags.
        notes: What should be said.
    """

    flags: Mapping[str, Any]
    ours: frozenset[str]
    values: Mapping[str, Any]
    notes: list[str]

    @property
    def chunks(self) -> int:
        theirs = None if "chunks" in self.ours else self.flags.get("meta_batch_number")
        return _number(theirs or self.values.get("chunks"), DEFAULT_CHUNKS)

    @property
    def epochs(self) -> int:
        recipe = self.values.get("recipe")
        return _number(recipe.get("epochs") if isinstance(recipe, Mapping) else None, Recipe.epochs)


def _number(value: Any, default: int) -> int:
    """The default too where a file has nonsense, of which `Experiment` will tell."""
    return value if type(value) is int and value > 0 else default


def translate(
    words: Sequence[str], given: Mapping[str, Any], values: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """What published flags mean in our settings.

    Args:
        words: The command line.
        given: What the parser made of it, ours and theirs, by `dest`.
        values: All settings so far.

    Returns:
        Settings by path, and a line on each flag that means nothing here or not all one expects.

    Raises:
        ConfigError: Flags contradict each other.
    """
    flags = {n.removeprefix("published."): v for n, v in given.items() if "published." in n}
    ignored = [
        f"{flag} is ignored: {why}"
        for flag, why in {**_IGNORED, **_IGNORED_SWITCHES}.items()
        if f"ignored.{flag}" in given
    ]
    line = _Line(flags, frozenset(given) - _BOTH, values, ignored)
    settings: dict[str, Any] = {}
    for part in (_same, _seed, _fraction, _milestones, _few_shot, _buffer, _folders, _wandb):
        settings.update(_not_ours(line, part))
    if any(map(_is_published, words)):
        settings.update(_not_ours(line, _method))
    return settings, line.notes


def _is_published(word: str) -> bool:
    return bool(_LOOKS_PUBLISHED.match(word)) and word.partition("=")[0] not in _SPELT_ALIKE


def _not_ours(line: _Line, part: Callable[[_Line], dict[str, Any]]) -> dict[str, Any]:
    """What one part makes of the published flags, where our own flags say nothing else."""
    notes = len(line.notes)
    found = part(line)
    kept = {path: value for path, value in found.items() if path not in line.ours}
    if len(kept) < len(found):
        overruled = ", ".join(f"experiment.{path}" for path in found if path not in kept)
        del line.notes[notes:]
        line.notes.append(f"{overruled}: our own flag overrules the published one")
    return kept


def _same(line: _Line) -> dict[str, Any]:
    return {path: line.flags[flag] for flag, path in _SAME.items() if flag in line.flags}


def _seed(line: _Line) -> dict[str, Any]:
    return {"seeds": (line.flags["seed"],)} if "seed" in line.flags else {}


def _fraction(line: _Line) -> dict[str, Any]:
    if "snip_size" not in line.flags:
        return {}
    share = line.flags["snip_size"]
    line.notes.append(f"--snip_size {share:g} is the share reset, and the share of images scored")
    return {"unlearn.fraction": share, "unlearn.subset_fraction": share}


def _milestones(line: _Line) -> dict[str, Any]:
    """Epochs to fractions of them."""
    if "decreasing_lr" not in line.flags:
        return {}
    epochs = line.epochs
    try:
        at = [int(part) for part in line.flags["decreasing_lr"].split(",")]
    except ValueError as fault:
        raise ConfigError(f"--decreasing_lr must be epochs such as 20,40: {fault}") from fault
    if late := [milestone for milestone in at if milestone >= epochs]:
        line.notes.append(f"--decreasing_lr: {late} are not reached in {epochs} epochs")
    return {"recipe.milestones": tuple(m / epochs for m in at if m < epochs)}


def _few_shot(line: _Line) -> dict[str, Any]:
    """The published shots are those of a class in all, cut into the chunks."""
    if not {"few_shot", "n_shots"} & set(line.flags):
        return {}
    total = line.flags.get("n_shots", _PUBLISHED_SHOTS)
    if total < line.chunks:
        raise ConfigError(f"--n_shots {total} leaves no image for each of {line.chunks} chunks")
    shots = total // line.chunks
    line.notes.append(
        f"--n_shots {total} images of a class are cut into {line.chunks} chunks of {shots} each"
    )
    return {"shots": shots, "chunk_size": None}


def _buffer(line: _Line) -> dict[str, Any]:
    """The published buffer grows by so many after every chunk; ours is as large as it gets."""
    if not {"buffer_replay", "buffer_size_train"} & set(line.flags):
        return {}
    found: dict[str, Any] = {"replay.kind": "buffer"} if "buffer_replay" in line.flags else {}
    grown = line.flags.get("buffer_size_train", _PUBLISHED_BUFFER) * max(1, line.chunks - 1)
    line.notes.append(f"the buffer holds {grown} images, as many as the published one ends with")
    return {**found, "replay.capacity": grown}


def _folders(line: _Line) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "imagenet_path" in line.flags:
        if line.values.get("dataset") == "restricted-imagenet":
            found["data"] = line.flags["imagenet_path"]
        else:
            line.notes.append("--imagenet_path is ignored: the data set is another")
    out = line.flags.get("save_dir") or line.flags.get("log_dir")
    if out:
        found["out"] = str(PurePath(out) / line.flags.get("run", ""))
        line.notes.append(f"everything is written to {found['out']}")
    return found


def _wandb(line: _Line) -> dict[str, Any]:
    """The published lines all have it; without W&B they shall run all the same."""
    if "wb" not in line.flags:
        return {}
    if find_spec("wandb") is None:
        line.notes.append("-wb is ignored: wandb is not installed (pip install wandb)")
        return {}
    return {"wandb": True}


def _method(line: _Line) -> dict[str, Any]:
    """The one method of a published command line; without a flag for it, warm start."""
    if "methods" in line.values:
        return {}
    named = list(dict.fromkeys(line.flags.get("use", ["warm"])))
    if len(named) > 1:
        both, listed = " and ".join(named), ",".join(named)
        raise ConfigError(f"the flags ask for {both} in one; compare them: --methods {listed}")
    found: dict[str, Any] = {"methods": tuple(named)}
    if named == ["shrink-perturb"]:
        found["unlearn.preset"] = "lure"
    if "controls" not in line.values:
        found["controls"] = False
    line.notes.append(f"runs {named[0]} alone; --methods and --controls add others to compare with")
    return found
