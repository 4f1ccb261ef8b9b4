"""From what a client asks for to a stream's row: every fault at once, each with its pointer."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from typing import Any

from lure_core import models, presets
from lure_core.archive.listing import class_name
from lure_core.config import InputSpec, Recipe, Unlearn
from lure_core.errors import ConfigError, UnknownArchitecture
from lure_core.policies import POLICIES
from lure_core.section import Section
from service.errors import Fault, Invalid
from service.schemas.streams import NewStream, StreamPatch
from store.classes import MAX_CLASSES
from store.models import Stream
from store.streams import Settings

OPEN = "open"
_ANY_INPUT = {"channels": 3, "height": 32, "width": 32}  # to judge each member by itself


def stream_of(wanted: NewStream, *, packages: Collection[str] = ()) -> Stream:
    """The row of a new stream, with every default filled in.

    Args:
        wanted: As the client asks for it.
        packages: Models of one's own that may be asked for: `package.module:factory`, or all of a
            module or package.

    Raises:
        Invalid: Something is unknown, missing or out of its range.
    """
    faults: list[Fault] = []
    _known(wanted.model_extra or {}, NewStream.model_fields, "", faults)
    recipe, unlearn = _recipe(wanted.recipe, faults)
    spec = None if wanted.input is None else _input(wanted.input, faults)
    is_open = wanted.classes == OPEN
    _architecture(wanted.architecture, spec, packages, faults, is_open=is_open)
    stream = Stream(
        name=wanted.name,
        classes=None if wanted.classes in (None, OPEN) else _classes(wanted.classes, faults),
        open_classes=is_open,
        input=spec,
        architecture=wanted.architecture,
        recipe=recipe,
        policies=_policies(wanted.policies, faults, bases={Unlearn.section: unlearn}),
        seed=recipe.get("seed", 0),
    )
    _refuse(faults)
    return stream


def changed(stream: Stream, patch: StreamPatch) -> Settings:
    """A stream's settings with a JSON merge patch (RFC 7396) applied, checked as at its creation.

    A member of null goes back to its default, or is null where that is a value. A recipe's name
    replaces the whole recipe, and unlearning where the patch does not speak of it.

    Raises:
        Invalid: Something is unknown, out of its range, or cannot be changed any more.
    """
    faults: list[Fault] = []
    for name in patch.model_extra or {}:
        if name in NewStream.model_fields:
            faults.append(Fault(f"/{name}", "is fixed for good; make another stream"))
        else:
            _known([name], StreamPatch.model_fields, "", faults)
    recipe, policies = stream.recipe, stream.policies
    if "recipe" in patch.model_fields_set:
        recipe, unlearn = _changed_recipe(recipe, patch.recipe, faults)
        policies = policies | ({Unlearn.section: unlearn} if unlearn else {})
    if "policies" in patch.model_fields_set:
        policies = _changed_policies(policies, patch.policies, faults)
    _refuse(faults)
    return Settings(recipe, policies)


def _changed_recipe(
    current: dict[str, Any], wanted: Any, faults: list[Fault]
) -> tuple[dict[str, Any], dict[str, Any]]:
    if isinstance(wanted, Mapping) and "name" not in wanted:
        return _merged(Recipe, current, wanted, "/recipe", faults), {}
    return _recipe(wanted, faults)


def _changed_policies(current: dict[str, Any], wanted: Any, faults: list[Fault]) -> dict[str, Any]:
    if not isinstance(wanted, Mapping | None):
        faults.append(Fault("/policies", "must be an object"))
        return {}
    values = dict.fromkeys(POLICIES) if wanted is None else wanted
    _known(values, POLICIES, "/policies", faults)
    return current | {
        name: _merged(cls, current.get(name, {}), values[name], f"/policies/{name}", faults)
        for name, cls in POLICIES.items()
        if name in values
    }


def _merged(
    cls: type[Section], current: Mapping[str, Any], patch: Any, pointer: str, faults: list[Fault]
) -> dict[str, Any]:
    """The section with the patch applied."""
    if not isinstance(patch, Mapping):
        return _section(cls, {} if patch is None else patch, pointer, faults)
    gone = {name for name, value in patch.items() if value is None and _has_default(cls, name)}
    base = {name: value for name, value in current.items() if name not in gone}
    values = {name: value for name, value in patch.items() if name not in gone}
    return _section(cls, values, pointer, faults, base=base)


def _has_default(cls: type[Section], name: str) -> bool:
    """Whether null means the member's default: it is known, and null is none of its values."""
    try:
        cls.from_dict({name: None})
    except ConfigError:
        return name in {field.name for field in fields(cls)}  # type: ignore[arg-type]
    return False


def _refuse(faults: list[Fault]) -> None:
    """Raise Invalid for all faults at once, if there are any."""
    if faults:
        first = faults[0]
        raise Invalid(f"{first.pointer or 'the body'}: {first.detail}", faults)


def _architecture(
    name: Any,
    spec: Mapping[str, Any] | None,
    packages: Collection[str],
    faults: list[Fault],
    *,
    is_open: bool,
) -> None:
    known = f"{', '.join(models.known())}, and torchvision's classification models"
    if not isinstance(name, str):
        faults.append(Fault("/architecture", f"must be the name of a model: {known}"))
        return
    try:
        input_spec = InputSpec.from_dict(spec) if spec else None
        models.require(name, input=input_spec, allowed=packages)
        if is_open and input_spec is not None:  # else the worker tries, once the input is known
            models.require_growth(name, input=input_spec, allowed=packages)
    except UnknownArchitecture as error:
        faults.append(Fault("/architecture", f"{error}; known are {known}"))
    except ConfigError as error:
        faults.append(Fault("/architecture", str(error)))


def _classes(classes: Any, faults: list[Fault]) -> list[str]:
    if not isinstance(classes, list) or not 1 <= len(classes) <= MAX_CLASSES:
        words = f'must be a list of 1 to {MAX_CLASSES} class names, "open" or null'
        faults.append(Fault("/classes", words))
        return []
    names: dict[str, int] = {}
    for index, given in enumerate(classes):
        pointer = f"/classes/{index}"
        name, wrong = class_name(given) if isinstance(given, str) else ("", "must be a text")
        if wrong:
            faults.append(Fault(pointer, wrong))
        elif name in names:
            faults.append(Fault(pointer, f"is the same name as /classes/{names[name]}"))
        names.setdefault(name, index)
    return list(names)


def _input(values: Any, faults: list[Fault]) -> dict[str, Any]:
    if isinstance(values, Mapping):
        for name in _ANY_INPUT:
            if name not in values:
                faults.append(Fault(f"/input/{name}", "is missing"))
    return _section(InputSpec, values, "/input", faults, base=_ANY_INPUT)


def _recipe(wanted: Any, faults: list[Fault]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe in full, and the unlearning that belongs to its name.

    `"frugal"` is the same as `{"name": "frugal"}`; members beside the name overrule what it says,
    `epochs` as the full number of which it takes its share.
    """
    given = {"name": wanted} if isinstance(wanted, str) else {} if wanted is None else wanted
    if not isinstance(given, Mapping):
        names = ", ".join(presets.PRESETS)
        faults.append(Fault("/recipe", f"must be an object, or the name of a recipe: {names}"))
        return {}, {}
    members = {name: value for name, value in given.items() if name != "name"}
    recipe = _section(Recipe, members, "/recipe", faults)
    if "name" not in given:
        return recipe, {}
    stated = {name: value for name, value in recipe.items() if name in members}
    try:
        named, unlearn = presets.apply(str(given["name"]), Recipe(), Unlearn(), stated=stated)
    except ConfigError as error:
        faults.append(Fault("/recipe" if given is not wanted else "/recipe/name", str(error)))
        return {}, {}
    return named.to_dict(), unlearn.to_dict()


def _policies(
    wanted: Any, faults: list[Fault], *, bases: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Every policy in full; what is not stated is taken from `bases`, then from the defaults."""
    values = {} if wanted is None else wanted
    if not isinstance(values, Mapping):
        faults.append(Fault("/policies", "must be an object"))
        return {}
    _known(values, POLICIES, "/policies", faults)
    return {
        name: _section(cls, values.get(name, {}), f"/policies/{name}", faults, base=bases.get(name))
        for name, cls in POLICIES.items()
    }


def _section(
    cls: type[Section],
    values: Any,
    pointer: str,
    faults: list[Fault],
    *,
    base: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The section in full, what is not stated taken from `base`, then from the defaults.

    Each member is judged by itself, so that all faults are told at once.
    """
    if not isinstance(values, Mapping):
        faults.append(Fault(pointer, "must be an object"))
        return {}
    base = base or {}
    before = len(faults)
    members = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    _known(values, members, pointer, faults)
    for name in sorted(values.keys() & set(members)):
        try:
            cls.from_dict({**base, name: values[name]})
        except ConfigError as error:
            faults.append(Fault(f"{pointer}/{name}", str(error)))
    if len(faults) > before:
        return {}
    return cls.from_dict({**base, **values}).to_dict()


def _known(given: Iterable[str], known: Iterable[str], pointer: str, faults: list[Fault]) -> None:
    names = list(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it knows {', '.join(names)}"
            step = name.replace("~", "~0").replace("/", "~1")
            faults.append(Fault(f"{pointer}/{step}", f"is unknown; {hint}"))
