"""`python -m worker.doctor`: whether torch works here, and finds the GPU that there is.

It prints what it found as JSON, for `lure doctor`.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from store.checks.finding import Finding, State, failure, ok, skipped, warning

_DEVICES = Path("/dev")
_DRIVER = Path("/proc/driver/nvidia/version")
_PAIR = "install both anew in one command, so that they fit: pip install torch torchvision"


def examine(devices: Path = _DEVICES, driver: Path = _DRIVER) -> list[Finding]:
    """All of it.

    Args:
        devices: Where NVIDIA's device nodes would be.
        driver: The file in which its driver tells its release.
    """
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:  # OSError: a shared library that is not there
        return [
            failure("torch", f"it cannot be loaded: {error}", _PAIR),
            skipped("gpu", "torch cannot be loaded"),
        ]
    return [_pair(torch), _gpu(torch, devices, driver)]


def _pair(torch: Any) -> Finding:
    """Whether torchvision was built for this torch: else its own operators are not there."""
    name = "torch"
    try:
        torchvision = importlib.import_module("torchvision")
        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.9]])
        kept = importlib.import_module("torchvision.ops").nms(boxes, torch.tensor([0.5, 0.9]), 0.5)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        words = str(error).strip().splitlines()[0]
        return failure(name, f"torch {torch.__version__}; torchvision fails: {words}", _PAIR)
    assert kept.tolist() == [1]
    return ok(name, f"torch {torch.__version__} and torchvision {torchvision.__version__}")


def _gpu(torch: Any, devices: Path, driver: Path) -> Finding:
    name, nodes = "gpu", sorted(path.name for path in devices.glob("nvidia[0-9]*"))
    if torch.cuda.is_available():
        return _calculates(torch)
    if not nodes:
        if torch.version.cuda is None and torch.backends.mps.is_available():
            return ok(name, "Apple's, by MPS")
        return ok(name, "none here; cycles run on the CPU")
    there = f"{', '.join(nodes)} is there, driver {_release(driver)}"
    if torch.version.cuda is None:
        remedy = "install the CUDA build: pip install torch torchvision, without a CPU wheel index"
        return failure(name, f"{there}, and torch {torch.__version__} is a CPU build", remedy)
    remedy = "nvidia-smi says more; a newer driver, or a torch built for an older CUDA"
    return failure(name, f"{there}, and torch for CUDA {torch.version.cuda} cannot use it", remedy)


def _calculates(torch: Any) -> Finding:
    """A sum on every device: a build without code for a GPU finds it, and fails only then."""
    found = []
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        title = torch.cuda.get_device_name(device)
        try:
            total = (
                torch.ones(64, 64, device=device).matmul(torch.ones(64, 64, device=device)).sum()
            )
            assert total.item() == 64**3
            free_bytes, total_bytes = torch.cuda.mem_get_info(device)
        except RuntimeError as error:
            words = str(error).strip().splitlines()[0]
            remedy = (
                f"a torch built for it; this one is for {', '.join(torch.cuda.get_arch_list())}"
            )
            return failure("gpu", f"{title} does not calculate: {words}", remedy)
        found.append((f"{title}, {free_bytes >> 30} of {total_bytes >> 30} GiB free", free_bytes))
    told = f"{'; '.join(words for words, _ in found)}; CUDA {torch.version.cuda}"
    if min(free for _, free in found) < (1 << 30):
        return warning("gpu", told, "see with nvidia-smi who uses its memory")
    return ok("gpu", told)


def _release(driver: Path) -> str:
    """The driver's release, as it tells it; `unknown` where it tells nothing."""
    try:
        words = driver.read_text().splitlines()[0].split()
    except (OSError, IndexError):
        return "unknown"
    return next((word for word in words if word[0].isdigit()), "unknown")


def main() -> int:
    """Print the findings; 1 if there is a failure."""
    found = examine()
    sys.stdout.write(json.dumps([dataclasses.asdict(finding) for finding in found]) + "\n")
    sys.stdout.flush()
    return 1 if any(finding.state is State.FAILURE for finding in found) else 0


if __name__ == "__main__":
    sys.exit(main())
