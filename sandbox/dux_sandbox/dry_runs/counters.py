"""What functions write besides modules: counters, and what hooks collect.

On objects, in closures and in globals, where the functions' own code finds them.
"""

from __future__ import annotations

import dis
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import CellType, CodeType, FunctionType
from typing import Any

import torch
from torch import nn

from dux_sandbox.dry_runs.reach import attributes_of

_EMPTY = object()
_PLAIN = (type(None), bool, int, float, complex, str)
_CONTAINERS = (list, dict, set, deque)
_MOST_ITEMS = 100_000  # half a millisecond to copy
_MOST_NUMBERS = 4_096
_DEPTH = 3  # a list in a dict in a list
_STORE = dis.opmap["STORE_GLOBAL"]
_WRITES = {dis.opmap["STORE_SUBSCR"], dis.opmap["DELETE_SUBSCR"]}
_WRITING = {
    *("append", "appendleft", "extend", "extendleft", "insert", "pop", "popleft"),
    *("popitem", "remove", "discard", "clear", "add", "update", "setdefault"),
    *("__setitem__", "__delitem__"),
}


class Counters:
    """Plain values that functions may count up."""

    def __init__(self, objects: list[Any], functions: list[FunctionType]) -> None:
        """Keep the attributes of these objects, closures and globals of functions."""
        self._attributes = [
            (each, name, value)
            for each in objects
            for name, value in attributes_of(each).items()
            if type(value) in _PLAIN
        ]
        cells = {id(c): c for each in functions for c in each.__closure__ or ()}
        self._cells = [
            (cell, value)
            for cell in cells.values()
            if type(value := _content(cell)) in _PLAIN
        ]
        self._globals = [
            (each.__globals__, name, value)
            for each in functions
            for name in _rebound(each.__code__)
            if type(value := each.__globals__.get(name, _EMPTY)) in _PLAIN
        ]

    def restore(self) -> None:
        """Put everything back."""
        for each, name, value in self._attributes:
            if attributes_of(each).get(name, _EMPTY) is not value:
                object.__setattr__(each, name, value)
        for cell, value in self._cells:
            if _content(cell) is not value:
                cell.cell_contents = value
        for table, name, value in self._globals:
            table[name] = value


class Collected:
    """What is in lists, dicts and small tensors that the hooks of modules write.

    An objective's own are left to it: it may be written for a loop that reads them.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        """Keep what is in them now."""
        self._contents: dict[int, Callable[[], None]] = {}
        for hook in _hooks_of(modules):
            function = getattr(hook, "func", hook)  # of a partial
            target = getattr(function, "__self__", None)
            function = getattr(function, "__func__", function)
            if type(function) is not FunctionType or not _writes(function.__code__):
                continue
            alone = target is not None and not isinstance(target, nn.Module)
            held = attributes_of(target).values() if alone else ()
            for value in [*_named(function), *held]:
                self._keep(value, _DEPTH)

    def _keep(self, value: Any, depth: int) -> None:
        if id(value) in self._contents:
            return
        if type(value) is torch.Tensor:
            if _is_small(value):
                self._contents[id(value)] = _tensor_kept(value)
        elif isinstance(value, _CONTAINERS) and depth and len(value) <= _MOST_ITEMS:
            # Of a subclass that has ways of its own nothing is known.
            with suppress(Exception):
                self._contents[id(value)] = _container_kept(value)
            for each in value.values() if isinstance(value, dict) else value:
                if isinstance(each, _CONTAINERS):
                    self._keep(each, depth - 1)

    def restore(self) -> None:
        """Put everything back."""
        for put_back in self._contents.values():
            put_back()


def _hooks_of(modules: Iterable[nn.Module]) -> Iterator[Any]:
    for module in modules:
        for name, table in vars(module).items():
            if name.endswith("_hooks") and isinstance(table, dict):
                yield from table.values()


def _container_kept(value: Any) -> Callable[[], None]:
    """What puts a container's items back, where they are others than now."""
    before = dict(value) if isinstance(value, dict) else list(value)

    def now() -> list[int]:
        items = list(value)
        return [*map(id, items), *(id(value[each]) for each in _keys(value, items))]

    seen = now()

    def put_back() -> None:
        if now() == seen:
            return
        if isinstance(value, list):
            value[:] = before
            return
        value.clear()
        value.extend(before) if isinstance(value, deque) else value.update(before)

    return put_back


def _keys(value: Any, items: list[Any]) -> list[Any]:
    return items if isinstance(value, dict) else []


def _is_small(tensor: torch.Tensor) -> bool:
    plain = tensor.is_leaf and not tensor.requires_grad and not tensor.is_inference()
    strided = tensor.layout is torch.strided and not tensor.is_meta
    return plain and strided and tensor.numel() <= _MOST_NUMBERS


def _tensor_kept(tensor: torch.Tensor) -> Callable[[], None]:
    before = tensor.clone()

    def put_back() -> None:
        if tensor.shape == before.shape and not torch.equal(tensor, before):
            tensor.copy_(before)

    return put_back


def _named(function: FunctionType) -> Iterator[Any]:
    """What a function's code finds by a name of its own, or by default."""
    yield from map(_content, function.__closure__ or ())
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for code in _codes(function.__code__):
        for name in code.co_names:
            yield function.__globals__.get(name)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is not filled yet
        return _EMPTY


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _writes(code: CodeType) -> bool:
    return any(
        not _WRITES.isdisjoint(each.co_code[::2])
        or not _WRITING.isdisjoint(each.co_names)
        or any(map(_in_place, each.co_names))
        for each in _codes(code)
    )


def _in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _rebound(code: CodeType) -> Iterator[str]:
    """The globals that a function, or one inside it, binds anew."""
    for each in _codes(code):
        if _STORE in each.co_code[::2]:  # reading all takes a hundred times as long
            for instruction in dis.get_instructions(each):
                if instruction.opname == "STORE_GLOBAL":
                    yield instruction.argval
