"""The functions beyond arithmetic: torch's own, by their addresses in its library.

Eager calls MKL for most of them and Sleef for the rest, both part of torch's library
on x86; the same code gives the same bits. Where a build of torch has them not, no
kernel has these functions.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

_OF_MKL: Mapping[str, str] = {
    "exp": "Exp",
    "log": "Ln",
    "tanh": "Tanh",
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "erf": "Erf",
    "erfc": "Erfc",
    "atan": "Atan",
    "acos": "Acos",
    "asin": "Asin",
    "erfinv": "ErfInv",
}
_OF_SLEEF: Mapping[str, str] = {
    **{
        name: f"{name}%s_u10"
        for name in (
            *("exp", "log", "tanh", "sin", "cos", "tan", "erf", "atan", "acos", "asin"),
            *("log1p", "expm1", "log2", "log10", "exp2", "sinh", "cosh", "lgamma"),
            *("atanh", "atan2", "pow"),
        )
    },
    "erfc": "erfc%s_u15",
    "hypot": "hypot%s_u05",
    "fmod": "fmod%s",
    "vector exp": "exp%s_u10",
}
_LANES: Mapping[str, Mapping[str, str]] = {
    "AVX512": {"float": "f16", "double": "d8"},
    "AVX2": {"float": "f8", "double": "d4"},
}
"""Sleef's name of a vector, by what torch found the processor able to do."""


@dataclass(frozen=True)
class Function:
    """One function as a kernel calls it.

    Attributes:
        address: in this process.
        lanes: how many elements a call takes; 0: it takes pointers and a count.
    """

    address: int
    lanes: int


def torch_folder() -> Path:
    """Where torch's own libraries are."""
    return Path(torch.__file__).parent / "lib"


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    folder = torch_folder()
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib"):
        if (folder / name).is_file():
            return ctypes.CDLL(str(folder / name))
    return None


def function(name: str, works_in: str) -> Function | None:
    """The function that eager calls for contiguous tensors of a dtype, or None.

    >>> function("no such function", "float32") is None
    True
    """
    real = "double" if works_in == "float64" else "float"
    if works_in in ("float32", "float64") and name in _OF_MKL:
        address = _address(f"vm{real[0].replace('f', 's')}{_OF_MKL[name]}")
        return None if address is None else Function(address, 0)
    if works_in not in ("float32", "float64") and name == "erf":
        return None  # Eager has another one for these, with an error of six percent.
    capability = torch.backends.cpu.get_cpu_capability()
    lanes = _LANES.get(capability, {}).get(real)
    if name not in _OF_SLEEF or lanes is None:
        return None
    pattern = _OF_SLEEF[name]
    address = _address("Sleef_" + pattern % lanes)
    return None if address is None else Function(address, int(lanes[1:]))


def _address(symbol: str) -> int | None:
    library = _library()
    try:
        found = getattr(library, symbol)
    except AttributeError:
        return None
    return ctypes.cast(found, ctypes.c_void_p).value
