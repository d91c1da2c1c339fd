"""What one row of the table of operations holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch

Meaning = Callable[..., Any]
DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        name: getattr(torch, name)
        for name in (
            *("float32", "float64", "float16", "bfloat16", "bool"),
            *("int8", "int16", "int32", "int64", "uint8"),
        )
    }
)


@dataclass(frozen=True)
class Row:
    """One operation.

    Attributes:
        signature: a letter for each argument: T a tensor, N a number, A either, P
            several tensors; "T*" any number of tensors, "N*" of numbers.
        optional: how many of the last arguments may be left out.
        room: "elementwise", "reduction", "shape", "making", "matrix" or "number".
        attributes: the kind of each: "int", "ints", "bool", "dtype", "number", "seed",
            "text"; a "?" after it allows None. All of them are given, always.
        meaning: called with the arguments and the attributes by name.
    """

    signature: str
    room: str
    meaning: Meaning
    attributes: Mapping[str, str] = field(default_factory=dict)
    optional: int = 0
