"""Guards on everything that writes: items, attributes, in-place operators."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from operator import index as _index
from typing import Any, NoReturn

import torch

from dux_sandbox.language import torch_names
from dux_sandbox.runtime.arithmetic import IN_PLACE, TENSORS
from dux_sandbox.runtime.budget import check_items, spend
from dux_sandbox.runtime.collecting import pairs
from dux_sandbox.runtime.comparing import CALM, ordered
from dux_sandbox.runtime.context import Context
from dux_sandbox.runtime.facade import BASES, is_plain
from dux_sandbox.runtime.indexing import check_index
from dux_sandbox.runtime.iteration import bounded
from dux_sandbox.runtime.nestable import Deque
from dux_sandbox.runtime.nesting import check_comparable, check_key
from dux_sandbox.runtime.operators import GROWING, OF_SETS, VIEWS

_DICTS: frozenset[type] = frozenset([dict, defaultdict, OrderedDict])


class Writer:
    """What a target like `a[b]` or `a.b` is written through in odd statements."""

    __slots__ = ("_guards", "_target")
    _guards: Writing
    _target: Any

    def __init__(self, guards: Writing, target: Any) -> None:
        object.__setattr__(self, "_guards", guards)
        object.__setattr__(self, "_target", target)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._guards.set_item(value, self._target, key)

    def __delitem__(self, key: Any) -> None:
        self._guards.delete_item(self._target, key)

    def __setattr__(self, name: str, value: Any) -> None:
        self._guards.set_attribute(value, self._target, name)

    def __delattr__(self, name: str) -> None:
        self._guards.delete_attribute(self._target, name)


class Writing:
    """The write guards of one source.

    Args:
        reserved: names of torch's Optimizer that a rule may not write on itself.
    """

    def __init__(self, context: Context, reserved: frozenset[str]) -> None:
        self._context = context
        self._reserved = reserved

    def writer(self, target: Any) -> Writer:
        """The proxy for targets of tuple assignments, `for` and `del`."""
        return Writer(self, target)

    # Items

    def set_item(self, value: Any, target: Any, key: Any) -> None:
        """target[key] = value, by the exact type of the target."""
        kind = type(target)
        if kind in TENSORS:
            check_index(target, key)
            target[key] = value
        elif kind in _DICTS:
            if type(key) is str and key == "params":
                self._context.check_group(target)
            target[check_key(key)] = value
        elif kind is list:
            self._context.check_list(target)
            if type(key) is slice:
                value = bounded(value)
                check_items(len(target) + len(value))
            target[key] = value
        elif kind is Deque:
            target[key] = value
        else:
            self._refuse(target, "item assignment")

    def delete_item(self, target: Any, key: Any) -> None:
        """del target[key], by the exact type of the target."""
        kind = type(target)
        if kind in _DICTS:
            if type(key) is str and key == "params":
                self._context.check_group(target)
            check_key(key)
        elif kind is list:
            self._context.check_list(target)
        elif kind is not Deque:
            self._refuse(target, "item deletion")
        del target[key]

    def _refuse(self, target: Any, what: str) -> NoReturn:
        raise TypeError(f"{what} on a {type(target).__name__} is not available")

    # Attributes

    def set_attribute(self, value: Any, target: Any, name: str) -> None:
        """target.name = value: on the source's own objects, and .data of a tensor."""
        kind = type(target)
        if type(name) is not str:
            raise TypeError("an attribute's name must be a string")
        if kind in TENSORS:
            self._set_on_tensor(target, name, value)
            return
        self._check_own(target, name)
        setattr(target, name, value)

    def delete_attribute(self, target: Any, name: str) -> None:
        """del target.name, on the source's own objects."""
        self._check_own(target, name)
        delattr(target, name)

    def _check_own(self, target: Any, name: str) -> None:
        kind = target if isinstance(target, type) else type(target)
        if kind not in self._context.classes:
            raise AttributeError(
                f"writing {kind.__name__}.{name} is not available; keep it on self"
            )
        optimizer = issubclass(kind, torch.optim.Optimizer)
        optimizer = optimizer or kind in self._context.mixins
        reserved = optimizer and name in self._reserved
        if reserved and name in torch_names.OF_STOCK_OPTIMIZERS:
            reserved = not is_plain(kind)
        if name.startswith("__") or reserved:
            raise AttributeError(
                f"{name} belongs to torch's Optimizer; choose another name"
            )

    def same_groups(self, value: Any, target: Any) -> None:
        """target.param_groups = value, where nothing is changed by it.

        A rule that is built around another optimizer, over the same groups, takes the
        other's list for its own.

        Raises:
            TypeError: they are not the very groups that `target` has.
        """
        kind = type(target)
        held = None
        if kind in self._context.classes or kind in BASES:
            held = vars(target).get("param_groups")
        if type(value) is list and type(held) is list and len(value) == len(held):
            pairs = list(zip(value, held, strict=True))
            if all(one is other for one, other in pairs):
                return
            # After a load both have dicts of their own, over the same parameters.
            if id(target) in self._context.regrouping and all(
                type(one) is dict
                and [*map(id, one["params"])] == [*map(id, other["params"])]
                for one, other in pairs
            ):
                held[:] = value
                return
        raise TypeError(
            "param_groups may not become others; write into the groups there are"
        )

    def _set_on_tensor(self, target: torch.Tensor, name: str, value: Any) -> None:
        """`.data` and `.grad` keep their tensor and take the values of another."""
        if name == "grad" and value is target.grad and value is not None:
            return  # p.grad *= 2 has changed it in place already
        current = target if name == "data" else target.grad if name == "grad" else None
        if current is None or type(value) not in TENSORS:
            advice = {
                "data": "use p.copy_(values)",
                "grad": "leave gradients to the training loop's zero_grad()",
            }
            raise AttributeError(
                f"writing .{name} of a tensor is not available; "
                + advice.get(name, "keep it in self.state[p]")
            )
        if value.shape != current.shape or value.dtype != current.dtype:
            raise TypeError(
                f".{name} is {tuple(current.shape)} {current.dtype}; the value is "
                f"{tuple(value.shape)} {value.dtype}; it must be the same"
            )
        same = value.data_ptr() == current.data_ptr()
        if same and value.stride() == current.stride():
            return  # p.data -= x has changed it in place already
        with torch.no_grad():
            current.copy_(value)

    # In-place operators

    def in_place(self, operator: str, left: Any, right: Any) -> Any:
        """left <operator> right: tensors and containers change in place."""
        kind = type(left)
        growing = GROWING.get(operator, IN_PLACE[operator])
        if type(right) in VIEWS and operator in OF_SETS and kind not in _DICTS:
            return growing(left, right)
        if kind in TENSORS:
            # Alone of them `@=` does not write in place.
            change = GROWING if operator == "@=" else IN_PLACE
            return change[operator](left, right)
        if kind is list or kind is Deque:
            if kind is list:
                self._context.check_list(left)
            if operator == "+=":
                right = bounded(right)
                check_items(len(left) + len(right))
            elif operator == "*=":
                return self._repeated(left, right)
            return IN_PLACE[operator](left, right)
        if kind in _DICTS:
            right = dict(pairs(right))
            if "params" in right:
                self._context.check_group(left)
            return IN_PLACE[operator](left, right)
        return growing(left, right)

    def _repeated(self, items: Any, times: Any) -> Any:
        """items *= times, within the cap; a tensor of one integer counts as one."""
        count = _index(times)
        spend(len(items) * count)
        return IN_PLACE["*="](items, count)

    # Methods of containers that write

    def dict_methods(self) -> dict[str, Callable[[Any], Callable[..., Any]]]:
        """Methods of a dict that could change the parameters of a group."""
        return {
            "clear": lambda target: self._on_group(target, target.clear),
            "popitem": lambda target: self._on_group(target, target.popitem),
            "pop": self._pop,
            "update": self._update,
        }

    def _on_group(self, target: Any, method: Callable[[], Any]) -> Callable[[], Any]:
        def change() -> Any:
            self._context.check_group(target)
            return method()

        return change

    def _pop(self, target: Any) -> Callable[..., Any]:
        def pop(key: Any, *default: Any) -> Any:
            if type(key) is str and key == "params":
                self._context.check_group(target)
            return target.pop(check_key(key), *default)

        return pop

    def _update(self, target: Any) -> Callable[..., None]:
        def update(*items: Any, **options: Any) -> None:
            incoming = dict(*(pairs(part) for part in items), **options)
            if "params" in incoming:
                self._context.check_group(target)
            target.update(incoming)

        return update

    def list_methods(self) -> dict[str, Callable[[Any], Callable[..., Any]]]:
        """Methods of a list that could change a group's parameters, or grow it."""
        plain = ("append", "clear", "insert", "pop", "reverse")
        found = {name: self._list_method(name) for name in plain}
        found["remove"] = self._remove
        found["sort"] = self._sort
        found["extend"] = self._extend("extend")
        return found

    def deque_methods(self) -> dict[str, Callable[[Any], Callable[..., Any]]]:
        """Methods of a deque that could grow it at one blow."""
        found = {name: self._extend(name) for name in ("extend", "extendleft")}
        found.update(
            {name: self._list_method(name) for name in ("append", "appendleft")}
        )
        found["remove"] = self._remove
        return found

    def _list_method(self, name: str) -> Callable[[Any], Callable[..., Any]]:
        def method(target: Any) -> Callable[..., Any]:
            def change(*arguments: Any, **options: Any) -> Any:
                self._context.check_list(target)
                check_items(len(target))
                return getattr(target, name)(*arguments, **options)

            return change

        return method

    def _remove(self, target: Any) -> Callable[[Any], None]:
        def remove(item: Any) -> None:
            self._context.check_list(target)
            if type(item) not in CALM:
                check_comparable(target, item)
            target.remove(item)

        return remove

    def _sort(self, target: Any) -> Callable[..., None]:
        def sort(*, key: Any = None, reverse: Any = False) -> None:
            self._context.check_list(target)
            target[:] = ordered(list(target), key, reverse)

        return sort

    def _extend(self, name: str) -> Callable[[Any], Callable[..., Any]]:
        def method(target: Any) -> Callable[[Any], None]:
            def extend(items: Any) -> None:
                self._context.check_list(target)
                added = bounded(items)
                check_items(len(target) + len(added))
                getattr(target, name)(added)

            return extend

        return method
