"""Which attributes of plain values and tensors a rule may read, by exact type."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.language import python_names, vocabulary
from dux_sandbox.runtime import (
    comparing,
    plain_builtins,
    tensor_caps,
    text,
)
from dux_sandbox.runtime.budget import OF_A_SET, account, spend
from dux_sandbox.runtime.collecting import keys
from dux_sandbox.runtime.iteration import bounded
from dux_sandbox.runtime.named_arguments import in_order
from dux_sandbox.runtime.nestable import Deque
from dux_sandbox.runtime.nesting import check_comparable, check_key
from dux_sandbox.runtime.writing import Writing

Maker = Callable[[Any], Any]

_KINDS: dict[str, type] = {
    "dict": dict,
    "OrderedDict": OrderedDict,
    "defaultdict": defaultdict,
    "list": list,
    "deque": Deque,
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
            spend(max(width, len(value)))
            return str(getattr(value, name)(width, *fill))

        return pad

    return bind


def _replace(value: str) -> Callable[..., str]:
    def replace(old: str, new: str, count: int = -1) -> str:
        times = value.count(old)
        times = times if count < 0 else min(times, count)
        spend(len(value) + times * len(new))
        return value.replace(old, new, count)

    return replace


def _join(value: str) -> Callable[[Any], str]:
    def join(parts: Any) -> str:
        listed = list(bounded(parts))
        spend(text.lengths_of(listed) + len(value) * len(listed))
        return value.join(listed)

    return join


def _counted(name: str, each: int = 1) -> Maker:
    """A method that gives another text, list, set or dict, as large as this at most."""

    def bind(value: Any) -> Callable[..., Any]:
        def make(*arguments: Any, **options: Any) -> Any:
            spend(len(value))
            account((each - 1) * len(value))
            return getattr(value, name)(*arguments, **options)

        return make

    return bind


def _tensor_method(name: str) -> Maker:
    check = tensor_caps.METHODS[name]
    real = "new_zeros" if name == "new_empty" else name

    def bind(tensor: torch.Tensor) -> Callable[..., Any]:
        def build(*arguments: Any, **options: Any) -> Any:
            if options:
                given, named = in_order((tensor, *arguments), options)
                check(*given, **named)
            else:
                check(tensor, *arguments)
            return getattr(tensor, real)(*arguments, **options)

        return build

    return bind


def _searching(name: str) -> Maker:
    """`index`, `count` and their like compare what they look for with every item."""

    def bind(items: Any) -> Callable[..., Any]:
        def search(sought: Any, *bounds: Any) -> Any:
            if type(sought) not in comparing.CALM:
                check_comparable(items, sought)
            return getattr(items, name)(sought, *bounds)

        return search

    return bind


def _keyed(name: str) -> Maker:
    """A method that hashes its first argument."""

    def bind(items: Any) -> Callable[..., Any]:
        def look_up(key: Any, *others: Any, **options: Any) -> Any:
            return getattr(items, name)(check_key(key), *others, **options)

        return look_up

    return bind


def _with_others(name: str) -> Maker:
    """A method of a set that goes through other iterables."""

    def bind(items: Any) -> Callable[..., Any]:
        def combine(*others: Any) -> Any:
            account(OF_A_SET * len(items))
            return getattr(items, name)(*(keys(other) for other in others))

        return combine

    return bind


def _property_method(name: str) -> Maker:
    def bind(made: property) -> Callable[[Any], property]:
        def change(function: Any) -> property:
            changed: property = getattr(made, name)(plain_builtins.plainly(function))
            return changed

        return change

    return bind


_COPIED: tuple[type, ...] = (
    list,
    Deque,
    dict,
    OrderedDict,
    defaultdict,
    set,
    frozenset,
)
_OF_A_TEXT = """
capitalize casefold lower lstrip partition removeprefix removesuffix rpartition rsplit
rstrip split splitlines strip swapcase title upper
""".split()
_SEARCHING = ("index", "count")
_KEYED: dict[str, tuple[str, ...]] = {
    "dict": ("get", "setdefault"),
    "OrderedDict": ("get", "setdefault", "move_to_end"),
    "defaultdict": ("get", "setdefault"),
    "set": ("add", "discard", "remove"),
}
_WITH_OTHERS: dict[str, tuple[str, ...]] = {
    "set": (
        *("difference", "intersection", "isdisjoint", "issubset", "issuperset"),
        *("symmetric_difference", "union", "update"),
    ),
    "frozenset": (
        *("difference", "intersection", "isdisjoint", "issubset", "issuperset"),
        "union",
    ),
}


def _detach(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
    def detach() -> torch.Tensor:
        """A parameter would be trained no more."""
        if tensor.requires_grad and tensor.is_leaf:
            raise TypeError("detach_() of a parameter is not available; use .detach()")
        return tensor.detach_()

    return detach


def _cuda(tensor: torch.Tensor) -> Callable[..., torch.Tensor]:
    def cuda(*arguments: Any, **options: Any) -> torch.Tensor:
        """Where nothing is on a GPU, a rule does not wake one up."""
        if not torch.cuda.is_initialized():
            return tensor
        return tensor.cuda(*arguments, **options)

    return cuda


def _new(tensor: torch.Tensor) -> Callable[..., torch.Tensor]:
    def new(*sizes: Any) -> torch.Tensor:
        """`x.new(2, 3)` of old code: zeros where torch hands out unwritten memory."""
        if len(sizes) == 1 and type(sizes[0]) is torch.Size:
            sizes = tuple(sizes[0])
        if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)):
            values: torch.Tensor = _tensor_method("new_tensor")(tensor)(sizes[0])
            return values
        if any(type(size) is not int for size in sizes):
            raise TypeError("x.new wants sizes; use torch.zeros_like(x) or x.clone()")
        made: torch.Tensor = _tensor_method("new_zeros")(tensor)(sizes or (0,))
        return made

    return new


def tables_by_type(writing: Writing) -> dict[type, dict[str, Maker | None]]:
    """By exact type: allowed names, each with the maker of its capped form."""
    tables: dict[type, dict[str, Maker | None]] = {
        kind: dict.fromkeys(python_names.METHODS[name]) for name, kind in _KINDS.items()
    }
    tables[bool] = tables[int]
    for sequence in (list, Deque, tuple, torch.Size):
        tables[sequence].update({name: _searching(name) for name in _SEARCHING})
    for names, methods in ((_KEYED, _keyed), (_WITH_OTHERS, _with_others)):
        for name, hashing in names.items():
            tables[_KINDS[name]].update({each: methods(each) for each in hashing})
    tables[property].update({name: _property_method(name) for name in tables[property]})
    for kind in (dict, OrderedDict, defaultdict):
        tables[kind].update(writing.dict_methods())
    tables[list].update(writing.list_methods())
    tables[Deque].update(writing.deque_methods())
    for name in ("center", "ljust", "rjust", "zfill"):
        tables[str][name] = _wide_text(name)
    tables[str].update({name: _counted(name) for name in _OF_A_TEXT})
    for copied in _COPIED:
        each = 1 if copied in (list, Deque) else OF_A_SET
        tables[copied]["copy"] = _counted("copy", each)
    tables[str]["replace"], tables[str]["join"] = _replace, _join
    tensor: dict[str, Maker | None] = dict.fromkeys(vocabulary.TENSOR)
    tensor.update(
        {name: _tensor_method(name) for name in tensor_caps.METHODS if name in tensor}
    )
    # `.data` keeps a count of changes of its own: who asks whether a gradient was
    # written to would not hear of `p.grad.data.mul_(0.5)`.
    tensor["data"] = torch.Tensor.detach
    tensor["cuda"], tensor["detach_"], tensor["new"] = _cuda, _detach, _new
    tables[torch.Tensor] = tables[torch.nn.Parameter] = tensor
    return tables
