"""Small guards: items, keyword arguments, class names, and torch's own imports."""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict
from types import FunctionType, ModuleType
from typing import Any
from weakref import WeakSet

import torch

from dux_sandbox.runtime.arithmetic import TENSORS
from dux_sandbox.runtime.budget import OF_A_SET, account, spend
from dux_sandbox.runtime.dimensions import check_dimensions
from dux_sandbox.runtime.indexing import check_index
from dux_sandbox.runtime.nestable import Deque
from dux_sandbox.runtime.nesting import check_key
from dux_sandbox.runtime.standins import INERT, Inert, StandIn

# What stands for `type`: `type[Optimizer]` is a hint, and nothing else.
as_hints: WeakSet[Any] = WeakSet()
# One around the other on a function of a source's own; more are looked through in vain.
_DECORATORS = 4
_SUBSCRIPTABLE: frozenset[type] = TENSORS | frozenset(
    [dict, list, tuple, str, range, torch.Size, OrderedDict, defaultdict, Deque]
    + [Inert, StandIn]
)
# Modules that torch's C code looks up while a rule's frame is on top.
# Measured over the whole vocabulary with torch 2.13: only the first.
IMPORTED_BY_TORCH = frozenset(
    ["torch", "torch._C", "torch._tensor", "torch._tensor_str", "torch._utils"]
)


def get_item(target: Any, key: Any) -> Any:
    """target[key], by the exact type of the target.

    Raises:
        TypeError: this type may not be subscripted in a rule.
    """
    kind = type(target)
    if kind in TENSORS:
        check_index(target, key)
        made = target[key]
        if made.ndim > target.ndim:
            check_dimensions(made.ndim)
        return made
    if kind in _SUBSCRIPTABLE:
        if type(key) is not slice:
            return target[check_key(key)]
        part = target[check_key(key)]
        if kind is not range:
            spend(len(part))
        return part
    if isinstance(target, tuple) and kind.__module__ == "torch.return_types":
        return target[key]
    if kind is FunctionType and target in as_hints:
        return INERT
    raise TypeError(f"a {kind.__name__} cannot be subscripted in a rule")


def keyword_arguments(options: Any) -> dict[str, Any]:
    """What stands behind `**` in a call, without `out`, which can resize a tensor.

    Raises:
        TypeError: it is no plain dict, or holds `out`.
    """
    if type(options) not in (dict, OrderedDict, defaultdict):
        raise TypeError("** wants a plain dict")
    if "out" in options:
        raise TypeError("out= is not available; use target.copy_(result)")
    account(OF_A_SET * len(options))
    return dict(options)


def into(function: Any, *arguments: Any, out: Any = None, **options: Any) -> Any:
    """`function(..., out=out)`, computed without `out` and copied there.

    torch would give `out` the shape of the result, a parameter among others. A function
    of the source's own gets `out` as any argument.

    Raises:
        TypeError: `out` is no tensor, or not of the result's shape and dtype.
    """
    plain = function
    for _ in range(_DECORATORS):  # as `torch.no_grad()` leaves it
        plain = getattr(plain, "__wrapped__", plain)
    code = getattr(plain, "__code__", None)
    own = code is not None and code.co_filename.startswith("<rule")
    if own or isinstance(function, (type, StandIn)):
        return function(*arguments, out=out, **options)
    result = function(*arguments, **options)
    if out is None:
        return result
    pairs = [(out, result)]
    if isinstance(out, (tuple, list)):
        if not isinstance(result, tuple) or len(result) != len(out):
            raise TypeError("out= wants one tensor for each result")
        pairs = list(zip(out, result, strict=True))
    for target, made in pairs:
        if target is None:
            continue
        if type(target) not in TENSORS or type(made) not in TENSORS:
            raise TypeError("out= wants a tensor, of a function that gives tensors")
        if target.shape != made.shape or target.dtype != made.dtype:
            raise TypeError(
                f"out= is {tuple(target.shape)} {target.dtype}; the result is "
                f"{tuple(made.shape)} {made.dtype}; it must be the same"
            )
        target.copy_(made)
    return out


def unheld(value: Any) -> Any:
    """One of several `out=`, made in the call itself: None where it is empty."""
    return None if type(value) in TENSORS and not value.numel() else value


def class_name(value: Any) -> str:
    """`value.__class__.__name__`, a harmless string."""
    return type(value).__name__


def guarded_import(name: str, *arguments: Any, **options: Any) -> ModuleType:
    """What torch's C code finds as `__import__` in the frame of a rule.

    A source's own imports are resolved before it runs; this is never within its
    reach. Nothing is imported here: the module must be on the list and loaded.

    Raises:
        ImportError: it is not.
    """
    if name in IMPORTED_BY_TORCH and name in sys.modules:
        return sys.modules[name]
    raise ImportError(f"import of {name} is not available in a rule")
