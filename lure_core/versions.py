"""Versions as models: a fresh one, one that descends from a parent, one that is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lure_core import checkpoint, evaluate, models, precision
from lure_core.answers import Answers
from lure_core.calibration import Temperature, fit_temperature
from lure_core.config import CycleConfig
from lure_core.data import Batches, Samples, gather, rows_of
from lure_core.errors import BadCheckpoint
from lure_core.parallel import ALONE, World
from lure_core.types import Checkpoint, Split


def fresh(config: CycleConfig) -> nn.Module:
    """A model that has learned nothing, from this cycle's seed."""
    return models.build(
        config.architecture, classes=len(config.classes), input=config.input, seed=config.seed
    )


def descend(parent: Checkpoint, config: CycleConfig) -> nn.Module:
    """The parent as a model that knows all classes: for those it lacks its head has grown.

    Raises:
        BadCheckpoint: The parent is of another architecture, input or order of classes.
    """
    model = checkpoint.restore(parent)
    told = {"architecture": config.architecture, "input": config.input.to_dict()}
    for name, value in told.items():
        if parent.sidecar.get(name) != value:
            found = parent.sidecar.get(name)
            raise BadCheckpoint(f"the version's {name} is {found!r}, not {value!r}")
    known = parent.sidecar["classes"]
    if known != list(config.classes[: len(known)]):
        raise BadCheckpoint(f"the version's classes {known!r} are not the first of the stream's")
    if len(known) < len(config.classes):
        models.grow_head(model, fresh(config))
    return model


def origin(parent: Checkpoint | None, config: CycleConfig) -> dict[str, int]:
    """What the first weights of the lineage were made from; every version carries it along."""
    begun = {"seed": config.seed, "classes": len(config.classes)}
    return begun if parent is None else parent.sidecar.get("origin", begun)


def origin_weights(origin: dict[str, int], config: CycleConfig) -> dict[str, Tensor]:
    """The first weights of the lineage, by parameter name.

    For classes that came later, those that the first seed would have given their outputs.
    """
    sizes: dict[str, Any] = {"input": config.input, "seed": origin["seed"]}
    model = models.build(config.architecture, classes=origin["classes"], **sizes)
    if origin["classes"] < len(config.classes):
        full = models.build(config.architecture, classes=len(config.classes), **sizes)
        models.grow_head(model, full)
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def answers(
    version: Checkpoint,
    parts: Sequence[Samples],
    config: CycleConfig,
    split: Split | None = None,
    *,
    among: World = ALONE,
) -> Answers:
    """What a finished version answers to some chunks' images (of one role, if given).

    As it will be served: its own normalisation, fp32, plain order. Not in the precision of
    training: bf16 answers otherwise on close calls, and the gate would pass or fail a model that
    nobody is going to meet. (The best epoch is chosen in the precision of training: it compares a
    cycle with itself, and is taken after every epoch.)

    Args:
        version: The version.
        parts: The chunks.
        config: Says where.
        split: The role.
        among: The processes that share the work; all of them must ask.
    """
    chosen = precision.serving(precision.device_of(config.device))
    batches = Batches(
        gather(parts, split),
        checkpoint.normalisation_of(version),
        parts=tuple(len(rows_of(part, split)) for part in parts),
        device=chosen.device,
    )
    model = chosen.place(checkpoint.restore(version))
    names = [part.name for part in parts]
    return evaluate.answers(model, batches, precision=chosen, names=names, among=among)


def temperature(
    version: Checkpoint, parts: Sequence[Samples], config: CycleConfig
) -> Temperature | None:
    """By what the version's logits should be divided, by the select images of some chunks.

    None where there is no such image, or where the outputs are not numbers.
    """
    chosen = precision.serving(precision.device_of(config.device))
    select = gather(parts, Split.SELECT)
    if not len(select):
        return None
    model = chosen.place(checkpoint.restore(version))
    batches = Batches(select, checkpoint.normalisation_of(version), device=chosen.device)
    output = evaluate.logits(model, batches, precision=chosen)
    return fit_temperature(output, select.labels) if bool(output.isfinite().all()) else None
