"""The command line and the files of settings, down to one `Experiment`.

Later words count: the defaults, then `--preset`, then `--config`, then the flags.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn, get_args

from lure_core.errors import ConfigError
from lure_core.experiment import aliases
from lure_core.experiment.settings import DatasetName, Experiment
from lure_core.presets import near

_MOST_SEEDS = 10_000

_ABOUT = """\
Compares methods of learning from chunks of data that arrive one after another: accuracy after
every chunk, its intervals over paired seeds, and what it cost. May be killed and run again."""

_MORE = """\
examples:
  python -m lure_core.experiment --preset digits-pilot --seeds 0-15
  python -m lure_core.experiment --dataset zips --data ../shared/data/cifar10 --chunk-size 1500 \\
      --arch resnet20s --epochs 15 --methods scratch,warm,lure --budget 1,1/3 --seeds 0-2

Any setting can stand in a TOML file for --config: those of Experiment at the top, then the tables
[recipe], [unlearn], [replay] and [custom.NAME] for a method of your own. The flags of the
published code (--meta_batch_number, --use_snip, -no_replay ...) are understood too.
See docs/experiments.md."""


def parse(arguments: Sequence[str]) -> tuple[Experiment, list[str]]:
    """Settings from the command line's words, and what should be said about them, a line each.

    Raises:
        ConfigError: They make no sense; names the near ones where a name is unknown.
        SystemExit: After `--help` was answered.
    """
    parser = _parser()
    found, rest = parser.parse_known_args(list(arguments))
    if rest:
        raise ConfigError(_unknown(rest[0], parser))
    given = vars(found)
    values: dict[str, Any] = {}
    if "preset" in given:
        _overrule(values, preset(given.pop("preset")))
    if "config" in given:
        _overrule(values, _read(Path(given.pop("config"))))
    if "budgets" in given:
        given["budgets"] = _flat(given["budgets"])
    ours = {name: value for name, value in given.items() if not aliases.is_theirs(name)}
    _put(values, ours)
    published, notes = aliases.translate(arguments, given, values)
    _put(values, published)
    return Experiment.from_dict(values), notes


def preset(name: str) -> dict[str, Any]:
    """The settings of a packaged preset, as plain JSON for `Experiment.from_dict`.

    Raises:
        ConfigError: There is none of that name.
    """
    found = {
        file.name.removesuffix(".toml"): file
        for file in files("lure_core.experiment").joinpath("presets").iterdir()
        if file.name.endswith(".toml")
    }
    if name not in found:
        raise ConfigError(f"there is no preset {name!r}{near(name, dict(sorted(found.items())))}")
    return tomllib.loads(found[name].read_text())


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as fault:
        raise ConfigError(f"--config: {path} cannot be read: {fault.strerror}") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"--config: {path} is no TOML: {fault}") from fault


def _overrule(values: dict[str, Any], by: dict[str, Any]) -> None:
    """Table by table."""
    for name, value in by.items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            _overrule(values[name], value)
        else:
            values[name] = value


def _put(values: dict[str, Any], by_path: Mapping[str, Any]) -> None:
    """Settings by path, such as "recipe.epochs"."""
    for path, value in by_path.items():
        section, dot, name = path.rpartition(".")
        _overrule(values, {section: {name: value}} if dot else {name: value})


def _unknown(word: str, parser: argparse.ArgumentParser) -> str:
    if not word.startswith("-"):
        return f"{word!r} belongs to no flag; --help lists them"
    known = {flag: None for action in parser._actions for flag in action.option_strings}
    flag = word.partition("=")[0]
    hint = near(flag, known)
    return f"there is no {flag}{hint if 'did you mean' in hint else '; --help lists all'}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=100)


def _parser() -> argparse.ArgumentParser:
    """Each flag's `dest` is the setting's path; one that is not given leaves no trace."""
    parser = _Parser(
        prog="python -m lure_core.experiment",
        description=_ABOUT,
        epilog=_MORE,
        formatter_class=_Formatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        usage="%(prog)s [--preset NAME] [--config FILE] [flags]",
    )
    parser.add_argument("--preset", metavar="NAME", help="packaged settings, such as digits-pilot")
    parser.add_argument("--config", metavar="FILE", help="settings in TOML")
    for add in (_add_data, _add_comparison, _add_training, _add_unlearning, _add_running):
        add(parser)
    aliases.add(parser)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("data").add_argument
    names = ", ".join(get_args(DatasetName))
    add("--dataset", type=_dashed, metavar="NAME", help=f"{names} (default: digits)")
    add("--data", metavar="DIR", help="the data set's folder")
    add("--chunks", type=int, metavar="N", help="how many to cut it into (8, or as it comes)")
    add("--chunk-size", type=int, metavar="N", help="images a chunk (as many as there are)")
    add("--shots", type=int, metavar="N", help="few-shot: images a class and chunk")
    add("--test-images", type=int, metavar="N", help="its test set, or a fifth of it")
    add("--select", type=float, metavar="X", help="share that chooses the best epoch (0.1)")
    add("--side", type=int, metavar="PX", help="scale and crop images to PX by PX pixels")
    label_noise = _several(float)
    add("--label-noise", type=label_noise, metavar="X,X", help="shares of wrong labels (0)")


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what is compared").add_argument
    add("--methods", type=_several(str), metavar="A,B", help="such as lure,warm,fire:paper,frugal")
    add("--seeds", type=seeds, metavar="A-B,C", help="such as 0-9 or 1,3,5-7 (0)")
    add(
        "--budget",
        dest="budgets",
        action="extend",
        type=str,
        nargs=1,
        metavar="P/Q",
        help="share of the epochs to relearn for; a list, or several times (1)",
    )
    add(
        "--controls",
        action=argparse.BooleanOptionalAction,
        help="also run scratch and random-reset, to compare with (yes)",
    )
    add("--robustness", action="store_true", help="corrupted and adversarial test images too")


def _add_training(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("training").add_argument
    add("--arch", dest="architecture", metavar="NAME", help="such as mlp, resnet18, module:factory")
    for flag, kind, help_ in (
        ("epochs", int, "of a full budget (50)"),
        ("learn-epochs", int, "of the first chunk, where they differ"),
        ("batch-size", int, "images (64)"),
        ("weight-decay", float, "(1e-4)"),
        ("momentum", float, "(0.9)"),
        ("gamma", float, "what the learning rate is multiplied by at a milestone (0.1)"),
        ("schedule", str, "step or linear (step)"),
        ("augmentation", str, "crop-flip, crop or none (crop-flip)"),
        ("precision", str, "auto, fp32 or bf16 (auto)"),
    ):
        add(f"--{flag}", dest=f"recipe.{_snake(flag)}", type=kind, metavar="X", help=help_)
    add("--lr", dest="recipe.learning_rate", type=float, metavar="X", help="learning rate (0.1)")
    add(
        "--milestones",
        dest="recipe.milestones",
        type=_several(float),
        metavar="X,X",
        help="shares of the epochs (0.4,0.8)",
    )
    for flag, help_ in (
        ("l2-init", "pull to the first weights by so much (0, off)"),
        ("ema", "average the weights with this memory (0, off)"),
        ("pruning", "drop this share of the easy samples (0, off)"),
        ("old-share", "learn from so much of the replayed past (1)"),
    ):
        add(f"--{flag}", dest=f"recipe.{_snake(flag)}", type=float, metavar="X", help=help_)
    add("--compile", dest="recipe.compile", action="store_true", help="run through torch.compile")


def _add_unlearning(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("unlearning and replay").add_argument
    add("--fraction", dest="unlearn.fraction", type=float, metavar="X", help="share reset (0.2)")
    add("--shrink", dest="unlearn.shrink", type=float, metavar="X", help="of shrink-perturb")
    add("--perturb", dest="unlearn.perturb", type=float, metavar="X", help="of shrink-perturb")
    add("--replay", dest="replay.kind", metavar="KIND", help="full, buffer, one or none (full)")
    add(
        "--buffer-size",
        dest="replay.capacity",
        type=int,
        metavar="N",
        help="images that --replay buffer holds (10000)",
    )


def _add_running(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("where it runs and what it writes").add_argument
    add("--out", metavar="DIR", help="for records, table and plots (lure-experiment)")
    add("--device", metavar="NAME", help="auto, cpu, mps, cuda or cuda:N (auto)")
    add("--resident-mib", type=int, metavar="N", help="stream images that take more (auto)")
    add("--jobs", type=int, metavar="N", help="runs at the same time (1)")
    add("--threads", type=int, metavar="N", help="of torch in each (the processors shared out)")
    add("--save-every-s", type=float, metavar="S", help="work that a kill may cost (60)")
    add("--tensorboard", action="store_true", help="write curves for TensorBoard")
    add("--wandb", action="store_true", help="send curves to Weights & Biases")


def seeds(text: str) -> tuple[int, ...]:
    """Numbers and ranges, both ends included: "0-9", "1,3,5-7"."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise argparse.ArgumentTypeError(f"{part!r} is neither a number nor a range like 0-9")
        span = range(int(first), int(last if dash else first) + 1)
        if not span:
            raise argparse.ArgumentTypeError(f"the range {part!r} runs backwards")
        if len(found) + len(span) > _MOST_SEEDS:
            raise argparse.ArgumentTypeError(f"more than {_MOST_SEEDS} seeds")
        found.extend(span)
    return tuple(found)


def _several(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    def parts(text: str) -> tuple[Any, ...]:
        return tuple(kind(part.strip()) for part in text.split(","))

    parts.__name__ = f"list of {kind.__name__}s"  # argparse names it in its complaint
    return parts


def _dashed(text: str) -> str:
    return text.replace("_", "-")


def _snake(text: str) -> str:
    return text.replace("-", "_")


def _flat(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(part.strip() for text in texts for part in text.split(","))
