"""What an experiment is made of, as plain values, and how each is written in Python.

Tensors are given by name ("mixed", "zeros", "huge") and by shape, so that a case
reads at a glance, shrinks well, and prints as the very text that is run.
"""

import math
from dataclasses import dataclass

Shape = tuple[int, ...]
Options = tuple[tuple[str, object], ...]

# No two alike, no pattern in the signs, some that no binary fraction holds.
_MIXED = (0.5, -1.25, 2.0, -0.7, 1.5, -0.3, 0.9, -1.7, 0.1, -0.6, 1.1, -0.45, 0.8)
_CONSTANT = {"zeros": 0.0, "ones": 1.0, "tiny": 1e-30, "small": 1e-10}

DTYPES = ("float32", "float64", "bfloat16")
LAYOUTS = ("contiguous", "transposed", "strided")
GRADIENTS = ("mixed", "steady", "zeros", "tiny", "small", "huge", "sparse", "none")
VALUES = ("mixed", "zeros", "ones", "large")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a case.

    Attributes:
        shape: 0-d to 4-d; may hold no element.
        dtype: a name in torch, "float32" for instance.
        values: "mixed", "zeros", "ones" or "large".
        layout: "contiguous", "transposed" (dimensions reversed in memory) or
            "strided" (every other element of a larger tensor).
        gradient_layout: the same, of its gradients: autograd gives those of a
            transposed parameter transposed, and whoever sets `.grad` as they like.
    """

    shape: Shape
    dtype: str = "float32"
    values: str = "mixed"
    layout: str = "contiguous"
    gradient_layout: str = "contiguous"

    def text(self, position: int) -> str:
        """The parameter as an expression; `position` makes its values its own."""
        held = tensor_text(self.shape, self.values, 4 * position, self.dtype)
        return f"torch.nn.Parameter({_laid_out(held, self.shape, self.layout)})"

    def gradient_text(self, kind: str, phase: int) -> str:
        """A gradient of it as an expression."""
        held = tensor_text(self.shape, kind, phase, self.dtype)
        return _laid_out(held, self.shape, self.gradient_layout)


@dataclass(frozen=True)
class Case:
    """One training that a law is put to.

    Attributes:
        parameters: one to four.
        gradients: for each step, for each parameter, what its gradient is: a name of
            `GRADIENTS`; "none" is a missing one.
        groups: for each parameter, the number of its group; () puts all into one.
        options: for each group, the options it is given; a rule is given only those
            that it has.
        variant: which of a law's experiments; "" is the first.
    """

    parameters: tuple[Parameter, ...]
    gradients: tuple[tuple[str, ...], ...]
    groups: tuple[int, ...] = ()
    options: tuple[Options, ...] = ((("lr", 0.1),),)
    variant: str = ""

    def members(self, group: int) -> list[int]:
        """The positions of the parameters in a group."""
        groups = self.groups or (0,) * len(self.parameters)
        return [at for at, each in enumerate(groups) if each == group]

    @property
    def group_count(self) -> int:
        """How many groups there are; one may be empty."""
        return max((*self.groups, len(self.options) - 1, 0)) + 1


def tensor_text(shape: Shape, kind: str, phase: int, dtype: str = "float32") -> str:
    """A tensor as an expression that torch alone can read."""
    tail = "" if dtype == "float32" else f", dtype=torch.{dtype}"
    size = math.prod(shape)
    if kind in _CONSTANT or size == 0:
        value = _CONSTANT.get(kind, 0.0)
        if value == 0.0:
            return f"torch.zeros({_shape_text(shape)}{tail})"
        if value == 1.0:
            return f"torch.ones({_shape_text(shape)}{tail})"
        return f"torch.full({_shape_text(shape)}, {value!r}{tail})"
    values = [_MIXED[(phase + at) % len(_MIXED)] for at in range(size)]
    if kind == "steady":
        # All down, the same at every step, and no two neighbours alike: what is left
        # of it when a mean is subtracted still points somewhere.
        values = [1.0 + 0.25 * (at % 5) for at in range(size)]
    elif kind == "huge":
        values = [1e12 if value > 0 else -1e12 for value in values]
    elif kind == "large":
        values = [1e3 * value for value in values]
    elif kind == "sparse":
        values = [
            value if at == phase % size else 0.0 for at, value in enumerate(values)
        ]
    return f"torch.tensor({_nested(values, shape)}{tail})"


def _laid_out(held: str, shape: Shape, layout: str) -> str:
    """The expression of a tensor that lies in memory as `layout` says."""
    if layout == "transposed" and len(shape) > 1:
        turned = ", ".join(str(axis) for axis in reversed(range(len(shape))))
        return f"{held}.permute({turned}).contiguous().permute({turned})"
    if layout == "strided" and shape:
        return f"torch.stack([{held}] * 2, -1)[..., 0]"
    return held


def _shape_text(shape: Shape) -> str:
    return f"({', '.join(str(each) for each in shape)}{',' * (len(shape) == 1)})"


def _nested(values: list[float], shape: Shape) -> str:
    if not shape:
        return repr(values[0])
    inner = math.prod(shape[1:])
    rows = [
        _nested(values[row * inner : (row + 1) * inner], shape[1:])
        for row in range(shape[0])
    ]
    return f"[{', '.join(rows)}]"
