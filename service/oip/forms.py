"""The ways in which a model takes its images, as its metadata lists them; a request uses one."""

from __future__ import annotations

from dataclasses import dataclass

from lure_core.config import InputSpec
from service.errors import Fault, Invalid
from service.oip.request import Tensor

UINT8, FP32, BYTES = "UINT8", "FP32", "BYTES"


@dataclass(frozen=True)
class Form:
    """A tensor that images may come in; `axes` are those behind N."""

    name: str
    datatype: str
    axes: str

    def shape(self, spec: InputSpec) -> list[int]:
        """As the metadata has it: -1 is any number."""
        sizes = {"C": spec.channels, "H": spec.height, "W": spec.width}
        return [-1, *(sizes[axis] for axis in self.axes)]

    def takes(self, shape: tuple[int, ...], spec: InputSpec) -> bool:
        """Whether a tensor of that shape is in this form."""
        if self.datatype == BYTES:  # MLServer's clients make a column of what is a list
            return len(shape) in (1, 2) and shape[1:] in ((), (1,))
        return len(shape) == 4 and [-1, *shape[1:]] == self.shape(spec)


# no shape fits two of them: an image is eight pixels high at least
FORMS = (
    Form("images", UINT8, "CHW"),
    Form("images_nhwc", UINT8, "HWC"),
    Form("images_fp32", FP32, "CHW"),
    Form("images_encoded", BYTES, ""),
)
_BY_NAME = {form.name: form for form in FORMS[1:]}


def form_of(tensor: Tensor, spec: InputSpec) -> Form:
    """The form that a tensor is in: its name says, or else its datatype and shape.

    Raises:
        Invalid: It is in none that this model takes.
    """
    named = _BY_NAME.get(tensor.name)
    typed = [form for form in FORMS if form.datatype == tensor.datatype and named in (None, form)]
    if not typed:
        known = named.datatype if named else ", ".join(dict.fromkeys(f.datatype for f in FORMS))
        words = f"{tensor.name!r} is sent as {known} here, not {tensor.datatype!r}"
        raise Invalid(words, [Fault(f"{tensor.pointer}/datatype", words)])
    for form in typed:
        if form.takes(tensor.shape, spec):
            return form
    shapes = " or ".join(str(form.shape(spec)) for form in typed)
    words = (
        f"{tensor.datatype} images of this model are {shapes}, not {list(tensor.shape)};"
        " only encoded images are resized"
    )
    raise Invalid(words, [Fault(f"{tensor.pointer}/shape", words)])
