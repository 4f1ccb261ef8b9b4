"""Where a model runs, in which number format and memory layout.

"auto" is a rule over the hardware and the model's size, never a timing: two runs of a cycle on
equal machines must choose alike, or their weights would differ.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import safetensors
import torch
from torch import Tensor, nn

from lure_core.errors import ConfigError
from lure_core.release import release

BF16_FROM_FLOPS = 200_000_000
"""Forward cost of one image from which a CPU with bf16 units uses them.

ResNet-18 at 32 px (1.1 GFLOP) on two AMX cores: fp32 0.86 s a step of 64 images, bf16 0.44 s, bf16
with channels last 0.36 s. The thin nets (resnet20s: 5 MFLOP at 8 px, 81 at 32 px) stay in fp32:
with 16 to 64 channels their time goes into BatchNorm, ReLU and the calls themselves, which bf16
does not shorten, while autocast casts every weight at every step. The bound lies between the two,
at ResNet-18 on about 14 px.
"""

CHANNELS_LAST_BELOW_FLOPS = 200_000_000
"""Forward cost of one image under which a CPU in fp32 takes channels last.

Training steps of 64 images on two otherwise idle AVX2 cores, images a second, two runs each:

    resnet20s   8 px   NCHW 1359 and 1580   channels last 1517 and 1785
    resnet20s  32 px   NCHW  241 and  170   channels last  251 and  230
    resnet18   32 px   NCHW   33            channels last   25

The thin net gains, because what is element by element vectorises over channels; ResNet-18 loses:
oneDNN blocks large fp32 convolutions as it likes, and best from the plain layout.
"""


ONE_THREAD_BELOW_FLOPS = 200_000_000
"""Forward cost of one image under which a CPU answers with one thread.

The threads of a pool are woken anew in each of a network's steps, which in a thin one takes longer
than the step. Answers a second on two AVX2 cores, one image at a time, over HTTP:

    resnet20s   32 px   two threads 112   one 189
    resnet18   224 px   two threads  29   one  20
"""

BF16_AGREEMENT = 0.995
"""Share of judge images whose top-1 must be the same in bf16 and fp32 for bf16 to be served."""


@dataclass(frozen=True)
class Precision:
    """The choice made, and how to apply it."""

    device: torch.device
    bf16: bool
    channels_last: bool

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def place(self, model: nn.Module) -> nn.Module:
        """Move the model to the device in this memory layout; weights stay float32."""
        return model.to(device=self.device, memory_format=self.memory_format)  # type: ignore[call-overload, no-any-return]

    def arrange(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW.contiguous(memory_format=self.memory_format)

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)


def device_of(name: str) -> torch.device:
    """Resolve "auto": the current CUDA device (the first, unless set), or else the CPU.

    Raises:
        ConfigError: The device is not there.
    """
    if name == "auto":
        on_gpu = torch.cuda.is_available()
        return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"cycle.device: this machine has no {name}; use auto or cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("cycle.device: this machine has no mps; use auto or cpu")
    return device


def choose(name: str, *, device: torch.device, flops: int) -> Precision:
    """Turn a recipe's precision into a choice.

    Args:
        name: "fp32", "bf16" or "auto".
        device: Where the model will run.
        flops: Its forward cost on one image (`models.cost.forward_flops`).
    """
    if name == "fp32" and device.type == "cpu":
        return Precision(device, bf16=False, channels_last=flops < CHANNELS_LAST_BELOW_FLOPS)
    if name == "auto":
        large = flops >= BF16_FROM_FLOPS or device.type == "cuda"
        return choose("bf16" if large and has_bf16(device) else "fp32", device=device, flops=flops)
    return Precision(device, bf16=name == "bf16", channels_last=device.type != "mps")


def serving(device: torch.device) -> Precision:
    """What versions are judged in: fp32 in plain order, whatever the hardware.

    What answers (`answering`) differs from it by the rounding of fp32 alone, or is bf16 that was
    seen to give the same top-1.
    """
    return Precision(device, bf16=False, channels_last=False)


def answering(
    name: str, *, device: torch.device, agreement: Mapping[str, Any] | None = None
) -> Precision:
    """What a version answers in.

    On a CPU always channels last: answering, unlike training, gains by it at every size. With
    BatchNorm folded into the convolutions (`folding`) still more. Milliseconds of the fastest of
    5 to 60 answers on two AVX2 cores that were busy otherwise, in fp32:

        images in one batch          1                  8                   32
        resnet20s    8 px    2.8   2.4   1.4    5.2   4.0   3.1     7.4    5.7    4.6
        resnet20s   32 px    4.7   4.0   3.0   18.2  13.6  12.9    51.3   49.1   39.5
        resnet18    32 px   33.8  29.0  21.5    161   146   144     560    502    476
        resnet18   224 px   57.1  50.0  48.4    441   376   349    1881   1611   1473
                            NCHW, channels last, channels last and folded, three times

    TorchScript, frozen, would save 0.4 ms of calls on the thin nets and nothing on ResNet-18, and
    bakes the weights in: every swap would trace anew. So would `torch.compile`, which also wants
    a C++ compiler where the service runs; it was not measured.

    Args:
        name: "fp32", "bf16" or "auto": bf16 where the hardware has it and it was seen to agree
            with fp32 on such a device. There it was measured only if bf16 gains (`choose`).
        device: Where it will run.
        agreement: As `lure_core.agreement` measured it; None: it did not.
    """
    bf16 = name == "bf16" or (name == "auto" and has_bf16(device) and _agrees(agreement, device))
    return Precision(device, bf16=bf16, channels_last=device.type == "cpu" or bf16)


def answering_threads(flops: int, *, most: int) -> int:
    """Threads that a CPU answers with, for one image of that forward cost."""
    return 1 if flops < ONE_THREAD_BELOW_FLOPS else most


def _agrees(agreement: Mapping[str, Any] | None, device: torch.device) -> bool:
    if agreement is None or agreement.get("device") != device.type:
        return False
    return bool(agreement["bf16"] >= BF16_AGREEMENT)


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 is in the hardware; where it is emulated it is several times slower."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # torch has no public name for these; without AMX, AVX-512's own bf16 dot product is enough.
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def environment(precision: Precision) -> dict[str, Any]:
    """What a bit of a result may depend on beside seed, settings and data."""
    return {
        "device": str(precision.device),
        "precision": "bf16" if precision.bf16 else "fp32",
        "channels_last": precision.channels_last,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        **({"gpu": gpu(precision.device)} if precision.device.type == "cuda" else {}),
        "libraries": libraries(),
    }


def gpu(device: torch.device) -> dict[str, Any]:
    return {
        "name": torch.cuda.get_device_name(device),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def libraries() -> dict[str, str]:
    """The versions of all code that a bit of a result may depend on, LURE's own first."""
    return {
        "lure": release(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": metadata.version("torchvision"),
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
    }
