"""Which attributes of plain values and tensors a rule may read, by exact type."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.language import python_names, vocabulary
from dux_sandbox.runtime import arithmetic, plain_builtins, tensor_caps
from dux_sandbox.runtime.writing import Writing

Maker = Callable[[Any], Any]

_KINDS: dict[str, type] = {
    "dict": dict,
    "OrderedDict": OrderedDict,
    "defaultdict": defaultdict,
    "list": list,
    "deque": deque,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "str": str,
    "int": int,
    "float": float,
    "complex": complex,
    "range": range,
    "slice": slice,
    "property": property,
    "Size": torch.Size,
    "device": torch.device,
    "dtype": torch.dtype,
    "finfo": torch.finfo,
    "iinfo": torch.iinfo,
    "Generator": torch.Generator,
}


def _wide_text(name: str) -> Maker:
    def bind(value: str) -> Callable[..., str]:
        def pad(width: int, *fill: str) -> str:
            arithmetic.check_items(width)
            return str(getattr(value, name)(width, *fill))

        return pad

    return bind


def _replace(value: str) -> Callable[..., str]:
    def replace(old: str, new: str, count: int = -1) -> str:
        times = value.count(old) if count < 0 else count
        arithmetic.check_items(len(value) + times * len(new))
        return value.replace(old, new, count)

    return replace


def _join(value: str) -> Callable[[Any], str]:
    def join(parts: Any) -> str:
        listed = list(plain_builtins.bounded(parts))
        lengths = sum(len(part) for part in listed if isinstance(part, str))
        arithmetic.check_items(lengths + len(value) * len(listed))
        return value.join(listed)

    return join


def _tensor_method(name: str) -> Maker:
    count = tensor_caps.METHODS[name]
    real = "new_zeros" if name == "new_empty" else name

    def bind(tensor: torch.Tensor) -> Callable[..., Any]:
        def build(*arguments: Any, **options: Any) -> Any:
            total = count(tensor, *arguments, **options)
            tensor_caps.check_elements(total, f"Tensor.{name}")
            return getattr(tensor, real)(*arguments, **options)

        return build

    return bind


def tables_by_type(writing: Writing) -> dict[type, dict[str, Maker | None]]:
    """By exact type: allowed names, each with the maker of its capped form."""
    tables: dict[type, dict[str, Maker | None]] = {
        kind: dict.fromkeys(python_names.METHODS[name]) for name, kind in _KINDS.items()
    }
    tables[bool] = tables[int]
    for kind in (dict, OrderedDict, defaultdict):
        tables[kind].update(writing.dict_methods())
    tables[list].update(writing.list_methods())
    tables[deque].update(writing.deque_methods())
    for name in ("center", "ljust", "rjust", "zfill"):
        tables[str][name] = _wide_text(name)
    tables[str]["replace"], tables[str]["join"] = _replace, _join
    tensor: dict[str, Maker | None] = dict.fromkeys(vocabulary.TENSOR)
    tensor.update({name: _tensor_method(name) for name in tensor_caps.METHODS})
    # `.data` keeps a count of changes of its own: who asks whether a gradient was
    # written to would not hear of `p.grad.data.mul_(0.5)`.
    tensor["data"] = torch.Tensor.detach
    tables[torch.Tensor] = tables[torch.nn.Parameter] = tensor
    return tables
