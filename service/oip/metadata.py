"""What the protocol tells of the server and of its models, out of the rows."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from lure_core.config import InputSpec
from service.oip.forms import BYTES, FORMS, FP32
from service.oip.request import LABEL, PROBABILITIES
from store.classes import of_version
from store.models import Stream, Version

PLATFORM = "pytorch"
EXTENSIONS = ("binary_tensor_data", "classification", "model_repository", "statistics")


def server() -> dict[str, Any]:
    return {"name": "lure", "version": version("lure"), "extensions": list(EXTENSIONS)}


def model(stream: Stream, found: Version, listed: list[int]) -> dict[str, Any]:
    """A model as the version `found` of it is asked; `listed` can be asked for by number."""
    assert stream.input is not None, "a stream with a version has an input"
    spec = InputSpec.from_dict(stream.input)
    classes = of_version(stream, found)
    return {
        "name": stream.name,
        "versions": [str(number) for number in listed],
        "platform": PLATFORM,
        "inputs": [
            {"name": form.name, "datatype": form.datatype, "shape": form.shape(spec)}
            for form in FORMS
        ],
        "outputs": [
            {"name": PROBABILITIES, "datatype": FP32, "shape": [-1, len(classes)]},
            {"name": LABEL, "datatype": BYTES, "shape": [-1]},
        ],
        "parameters": {"classes": classes, "inputs": "one of them is sent"},
    }
