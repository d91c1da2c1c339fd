"""What an objective can reach besides its arguments: the modules and tensors there.

Looked for where Python keeps what a function uses: closures, the globals that its
code names, defaults, `functools.partial`, the object of a bound method, attributes of
callable objects, containers of all these. No code of the user's runs for it: no
property, no `__getattr__`. What is found by a computed name (`getattr(nets, text)`)
is not found: that is what `also` is for.
"""

import functools
import sys
import types
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import PurePath
from typing import Any

import torch
from torch import nn

# Objects that are looked at before the search gives up: some 50 ms.
_MOST = 20_000
_MOST_IN_ONE = 2_000
# A function's `self`, also inside a partial.
_NEAR = 2
_NEAR_CODE = 4

# Their objects hold the whole of a training (a trainer its loops, an agent its batches)
# or of a process, and no module that an objective would use by way of them.
_CLOSED = sys.stdlib_module_names | {
    *("torch", "numpy", "accelerate", "lightning", "lightning_fabric"),
    *("pytorch_lightning", "langchain_core", "langgraph", "dux_agent", "dux_graphs"),
    *("dux_prompts", "dux_sandbox"),
}
# But these of the standard library hold what somebody put there, and nothing else.
_HOLDERS = ("argparse", "collections", "functools", "types", "weakref")
_CONTAINERS: tuple[type, ...] = (list, tuple, set, frozenset, deque)
_PLAIN = (str, bytes, bytearray, bool, int, float, complex, type(None))


class Reached:
    """What can be reached from some starting points.

    Attributes:
        modules: every module, nearest first; also those inside others.
        tensors: every tensor that stands for itself, in no module's parameters.
        callers: objects that are no modules and that a function here works on: its
            `self`, or one that it names.
        functions: the user's own functions, where they are near.
        iterators: generators, a loader's, Python's own, where near; no files.
        whole: the search came to its end before its bound.
    """

    def __init__(
        self, starts: Iterable[Any], most: int = _MOST, *, code: bool = True
    ) -> None:
        """Look at up to `most` objects from `starts` on, the nearest first.

        Args:
            starts: where the search begins.
            most: how many objects it looks at.
            code: follow functions and classes too, not only attributes and contents.
        """
        self.modules: list[nn.Module] = []
        self.tensors: list[torch.Tensor] = []
        self.callers: list[Any] = []
        self.functions: list[types.FunctionType] = []
        self.iterators: list[Any] = []
        seen: dict[int, Any] = {}  # holds them, so that no id is used again
        waiting = deque((value, 0) for value in starts)
        while waiting and len(seen) < most:
            value, steps = waiting.popleft()
            value = _behind(value)
            if type(value) in _PLAIN or id(value) in seen:
                continue
            seen[id(value)] = value
            self._file(value, steps)
            try:
                found = islice(_neighbours(value, code), _MOST_IN_ONE)
                waiting.extend((each, steps + 1) for each in found)
            except RuntimeError:  # another thread has just changed it
                continue
        self.whole = not waiting

    def _file(self, value: Any, steps: int) -> None:
        kind = type(value)
        if issubclass(kind, nn.Module):
            self.modules.append(value)
        elif issubclass(kind, torch.Tensor):
            self.tensors.append(value)
        elif kind is types.FunctionType:
            if steps <= _NEAR_CODE and not _of_a_library(value.__module__):
                self.functions.append(value)
        elif issubclass(kind, Iterator) and _root(kind.__module__) in _CLOSED:
            if steps <= _NEAR_CODE and not hasattr(kind, "readline"):
                self.iterators.append(value)
        elif steps <= _NEAR and not issubclass(kind, type):
            if _root(kind.__module__) not in _CLOSED:
                self.callers.append(value)


def attributes_of(value: Any) -> dict[str, Any]:
    """An object's own attributes, also those in slots, without asking it for them."""
    held: dict[str, Any] = {}
    for kind in type(value).__mro__:
        for name, slot in vars(kind).items():
            if type(slot) is types.MemberDescriptorType:
                with suppress(AttributeError):  # nothing is in it yet
                    held[name] = slot.__get__(value)
    with suppress(AttributeError):  # an object without a dict
        held |= object.__getattribute__(value, "__dict__")
    return held


def _behind(value: Any) -> Any:
    """The object that a weak reference stands for; None where it is gone."""
    kind = type(value)
    if issubclass(kind, weakref.ReferenceType):
        return value()
    if kind in weakref.ProxyTypes:
        with suppress(ReferenceError):
            return value.__reduce_ex__.__self__
        return None
    return value


def _neighbours(value: Any, code: bool) -> Iterator[Any]:
    """What one object refers to, as far as a call of it may use that."""
    kind = type(value)
    if issubclass(kind, torch.Tensor):
        return
    if issubclass(kind, nn.Module):
        for held in vars(value).values():
            # Its tables of submodules and hooks are most of all that there is.
            yield from held.values() if type(held) in (dict, OrderedDict) else (held,)
    elif kind is functools.partial:
        yield from (value.func, *value.args, *value.keywords.values())
    elif kind is types.MethodType:
        yield from (value.__func__, value.__self__)
    elif kind is types.FunctionType or issubclass(kind, type):
        if code:
            yield from _of_code(value)
        return
    elif kind in (staticmethod, classmethod):
        yield value.__func__
    elif kind is property:
        yield value.fget
    else:
        yield from _contents(value)
        if _root(kind.__module__) not in _CLOSED or kind.__module__ in _HOLDERS:
            yield from attributes_of(value).values()
    if code:
        yield from _of_code(kind)


def _of_code(value: Any) -> Iterator[Any]:
    if isinstance(value, type):
        for each in value.__mro__:
            if not _of_a_library(each.__module__):
                yield from vars(each).values()
    else:
        yield from _of_function(value)


def _contents(value: Any) -> Iterator[Any]:
    if issubclass(type(value), dict):
        yield from dict.values(value)
    elif type(value) is types.MappingProxyType:
        yield from value.values()
    for kind in _CONTAINERS:
        if issubclass(type(value), kind):
            yield from kind.__iter__(value)  # type: ignore[attr-defined]


def _of_function(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # it is not filled yet
            yield cell.cell_contents
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from vars(function).values()  # `__wrapped__`, and what decorators leave
    if _of_a_library(function.__module__):
        return
    names = set(_names(function.__code__))
    for name in sorted(names & function.__globals__.keys()):
        value = function.__globals__[name]
        if type(value) is not types.ModuleType:
            yield value
        elif not _of_a_library(value.__name__):
            # `import nets` and then `nets.teacher(...)`.
            known = sorted(names & vars(value).keys())
            yield from (vars(value)[each] for each in known)


def _names(code: types.CodeType) -> Iterator[str]:
    """The names of globals and attributes in a function and in those inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            yield from _names(constant)


def _root(module: Any) -> str:
    return str(module or "").partition(".")[0]


def _of_a_library(module: Any) -> bool:
    """Whether code was installed: it names no module of the user's."""
    root = _root(module)
    if root not in _KNOWN:
        parts = PurePath(getattr(sys.modules.get(root), "__file__", None) or "").parts
        installed = "site-packages" in parts or "dist-packages" in parts
        _KNOWN[root] = installed or root in _CLOSED
    return _KNOWN[root]


_KNOWN: dict[str, bool] = {}
