"""Models of the user's own: found, tried before use, and refused where not allowed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from lure_core import models
from lure_core.config import InputSpec
from lure_core.errors import ConfigError, UnknownArchitecture
from tests.lure_core.making import same
from tests.lure_core.models.own_nets import HERE

SPEC = InputSpec(1, 16, 16)


def test_a_factory_of_the_users_own_is_built_by_its_seed() -> None:
    one, again, other = (
        models.build(f"{HERE}:conv", classes=4, input=SPEC, seed=seed) for seed in (1, 1, 2)
    )
    assert same(one.state_dict(), again.state_dict())
    assert not same(one.state_dict(), other.state_dict())
    assert one.training
    assert all(module.training for module in one.modules())
    assert one.eval()(torch.zeros(3, 1, 16, 16)).shape == (3, 4)


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("too_narrow", r"answers two images by \[2, 3\]; wanted is .* logits \[N, 4\]"),
        ("Pair", "answers two images by tuple"),
        ("no_model", "fails: .*gives a str.*wanted is"),
        ("too_few_arguments", "fails: TypeError"),
        ("NUMBER", "is no function"),
    ],
)
def test_what_gives_no_classifier_is_refused(factory: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        models.build(f"{HERE}:{factory}", classes=4, input=SPEC, seed=1)


def test_a_model_that_takes_no_such_images_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"small_vit fails: .* logits"):
        models.build(f"{HERE}:small_vit", classes=4, input=SPEC, seed=1)  # it wants three channels


def test_a_missing_factory_lists_the_near_ones() -> None:
    with pytest.raises(UnknownArchitecture, match=r"small_vit"):
        models.require(f"{HERE}:smal_vit")


@pytest.mark.parametrize(
    "name",
    [
        *(":", "a:", ":b", "a b:c", "a..b:c", "a:b:c", "a:b.c", "a:1"),
        *("a.__main__:main", "_a:b", "a._b:c", "a:_b", "a:__class__"),
    ],
)
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"must read package\.module:factory"):
        models.require(name)


def test_a_module_that_is_missing_or_broken_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_nets.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="cannot import no_such_nets"):
        models.require("no_such_nets:conv")
    with pytest.raises(ConfigError, match="cannot import broken_nets: ZeroDivisionError"):
        models.require("broken_nets:conv")


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise GeneratorExit", "1 / 0"])
def test_code_that_ends_the_process_is_refused_instead(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"ending_{len(end)}"
    lines = ["import sys", "def __getattr__(name):", f"    {end}", "def net(input, classes):"]
    (tmp_path / f"{name}.py").write_text("\n".join([*lines, f"    {end}"]))
    (tmp_path / f"{name}_at_once.py").write_text(f"import sys\n{end}")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="cannot import ending_"):
        models.require(f"{name}_at_once:net")
    with pytest.raises(ConfigError, match="cannot import ending_"):
        models.require(f"{name}:absent")
    with pytest.raises(ConfigError, match="net fails: "):
        models.build(f"{name}:net", classes=4, input=SPEC, seed=1)


def test_whoever_stops_the_process_by_hand_is_heeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stopped_by_hand.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        models.require("stopped_by_hand:net")


@pytest.mark.parametrize("allowed", [(), ("test",), ("tests_of_others", "ests"), ("tests.lure",)])
def test_code_that_is_not_allowed_is_not_imported(
    allowed: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, HERE)
    with pytest.raises(ConfigError, match="models of the package 'tests' are not allowed here"):
        models.require(f"{HERE}:conv", allowed=allowed)
    with pytest.raises(ConfigError, match="not allowed here"):
        models.build(f"{HERE}:conv", classes=4, input=SPEC, seed=1, allowed=allowed)
    assert HERE not in sys.modules


@pytest.mark.parametrize("package", ["tests", "tests.lure_core", HERE])
def test_an_allowed_package_allows_all_within(package: str) -> None:
    models.require(f"{HERE}:conv", allowed=("other", package))


def test_a_single_factory_may_be_allowed() -> None:
    models.require(f"{HERE}:conv", allowed=("other", f"{HERE}:conv"))
    for other in ("Pair", "con", "conv2"):
        with pytest.raises(ConfigError, match="not allowed here"):
            models.require(f"{HERE}:{other}", allowed=(f"{HERE}:conv",))
    with pytest.raises(ConfigError, match="not allowed here"):
        models.require(f"{HERE}.deeper:conv", allowed=(f"{HERE}:conv",))


def test_names_of_the_registry_need_no_allowance() -> None:
    models.require("resnet20s", allowed=())
    models.require("vit_b_16", allowed=())
