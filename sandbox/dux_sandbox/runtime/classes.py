"""Classes that a source makes: allowed bases, allowed names, and a door on each method.

The door on a rule's own methods counts loops afresh, puts the grad mode back, and looks
at what the rule has left in its state.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch

from dux_sandbox.runtime.arithmetic import TENSORS
from dux_sandbox.runtime.context import Context, Runaway, TurnsUsedUp
from dux_sandbox.runtime.facade import BASES

_ALLOWED_DUNDERS = frozenset(
    """__module__ __qualname__ __doc__ __classcell__ __init__ __setstate__ __call__
    __annotations__ __static_attributes__ __firstlineno__ __annotate__
    __annotate_func__ __annotations_cache__ __conditional_annotations__""".split()
)
_DOORS = (
    "__init__ __setstate__ step zero_grad state_dict load_state_dict add_param_group"
).split()
# What a group or a state may hold, by exact type: what can be saved, and carried
# between processes by `dux_sandbox.values`.
_VALUES: frozenset[type] = frozenset([int, float, bool, str, type(None), *TENSORS])
_MAPPINGS: frozenset[type] = frozenset([dict, defaultdict, OrderedDict])
_LISTS: frozenset[type] = frozenset([list, tuple, set, frozenset, torch.Size])
_MOST_DEPTH = 8


class Classes:
    """Makes the classes of one source, on behalf of its `class` statements.

    Args:
        reserved: names of torch's Optimizer that no class may define.
        overridable: those of them that it may.
    """

    def __init__(
        self, context: Context, reserved: frozenset[str], overridable: frozenset[str]
    ) -> None:
        self._context = context
        self._forbidden = reserved - overridable

    def make(self, name: str, bases: tuple[Any, ...], body: dict[str, Any]) -> type:
        """The metaclass of every class statement.

        Raises:
            TypeError: a base or a name in the body is not allowed.
        """
        for base in bases:
            own = base in self._context.classes if isinstance(base, type) else False
            if base is not object and base not in BASES and not own:
                raise TypeError(
                    f"class {name} is built on {base!r}; build it on "
                    f"torch.optim.Optimizer, or on nothing for a helper"
                )
        optimizer = any(issubclass(base, torch.optim.Optimizer) for base in bases)
        # "@" begins the temporary names of the rewritten source.
        body = {key: value for key, value in body.items() if key[0] != "@"}
        body.pop("__all__", None)
        for key, value in body.items():
            magic = key.startswith("__") and key not in _ALLOWED_DUNDERS
            if magic or (optimizer and key in self._forbidden):
                raise TypeError(f"class {name} defines {key}; choose another name")
            if optimizer and key in _DOORS:
                if type(value) is not FunctionType:
                    raise TypeError(f"{name}.{key} must be a plain method")
                body[key] = self._door(key, value)
        made = type(name, bases, body)
        if optimizer and "__init__" not in body:
            made.__init__ = self._door("__init__", made.__init__)  # type: ignore[misc]
        self._context.classes.add(made)
        return made

    def _door(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        context = self._context

        @functools.wraps(function)
        def enter(self: Any, *arguments: Any, **options: Any) -> Any:
            context.remember(self)
            if context.depth:
                context.depth += 1
                try:
                    return inside(self, *arguments, **options)
                finally:
                    context.depth -= 1
            context.depth = 1
            context.fresh_budget()
            grad_mode = torch.is_grad_enabled()
            try:
                result = inside(self, *arguments, **options)
                if name == "step":
                    check_values(self)
                return result
            except Runaway as error:
                # With its frames: they hold the line that is to blame.
                raise TurnsUsedUp().with_traceback(error.__traceback__) from None
            finally:
                context.depth = 0
                if torch.is_grad_enabled() is not grad_mode:
                    torch._C._set_grad_enabled(grad_mode)

        def inside(rule: Any, *arguments: Any, **options: Any) -> Any:
            running = None
            if name == "__init__":
                running = context.building
            elif name in ("add_param_group", "load_state_dict") and context.depth == 1:
                running = context.regrouping
            if running is not None:
                return self._within(running, rule, function, arguments, options)
            if name != "__setstate__" or id(rule) in context.restoring:
                return function(rule, *arguments, **options)
            # The base's part is done here, on what the caller gave: a rule that calls
            # super().__setstate__ cannot slip other groups into it.
            stock = next(kind for kind in type(rule).__mro__ if kind in BASES)
            stock.__setstate__(rule, *arguments)  # type: ignore[attr-defined]
            return self._within(context.restoring, rule, function, arguments, options)

        enter.dux_door = True  # type: ignore[attr-defined]
        return enter

    @staticmethod
    def _within(
        running: set[int],
        rule: Any,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        options: dict[str, Any],
    ) -> Any:
        outermost = id(rule) not in running
        running.add(id(rule))
        try:
            return function(rule, *arguments, **options)
        finally:
            if outermost:
                running.discard(id(rule))


_LARGEST_RATE = 10**300


def check_values(rule: torch.optim.Optimizer) -> None:
    """Refuse a rule that has put into its groups or state what cannot be saved.

    Raises:
        TypeError: a value is neither a number, string, tensor nor a container of them,
            or a key of the state is a tensor that is no parameter of the rule.
    """
    for group in rule.param_groups:
        if type(group.get("lr", 0.0)) is not float:
            _check_rate(group["lr"])
        for option, value in group.items():
            if type(option) is not str:
                raise TypeError(
                    f"a group has an option named {option!r:.40}; names are strings"
                )
            if type(value) not in _VALUES and option != "params":
                _check_value(value, f"group[{option!r}]")
    own = None
    key: Any
    for key, entry in rule.state.items():
        if type(entry) is dict:
            if not _VALUES.issuperset(map(type, entry.values())):
                for name, value in entry.items():
                    _check_value(value, f"state[p][{name!r}]")
        else:
            _check_value(entry, "self.state[...]")
            if type(entry) not in _MAPPINGS and type(key) not in (int, str):
                raise TypeError(
                    f"self.state[p] is a {type(entry).__name__}; it must stay a dict; "
                    f"write self.state[p]['name'] = value"
                )
        if type(key) is not torch.nn.Parameter:
            if own is None:
                own = {id(p) for group in rule.param_groups for p in group["params"]}
            if type(key) not in (int, str) and id(key) not in own:
                raise TypeError(
                    f"self.state has a key of type {type(key).__name__} that is no "
                    f"parameter; write self.state[p] with p from group['params']"
                )


def _check_rate(rate: Any) -> None:
    """Schedulers calculate with it: anything but a number would end the training."""
    if type(rate) is int and abs(rate) < _LARGEST_RATE:
        return
    if isinstance(rate, torch.Tensor) and rate.numel() == 1:
        return
    raise TypeError(
        f"group['lr'] is a {type(rate).__name__}; it must be a float; "
        f"keep anything else under another name"
    )


def _check_value(value: Any, where: str, depth: int = 0) -> None:
    kind = type(value)
    if kind in _VALUES:
        return
    if depth < _MOST_DEPTH and kind in _MAPPINGS:
        for key, item in value.items():
            _check_value(key, where, depth + 1)
            _check_value(item, where, depth + 1)
    elif depth < _MOST_DEPTH and kind in _LISTS:
        for item in value:
            _check_value(item, where, depth + 1)
    else:
        raise TypeError(
            f"{where} holds a {kind.__name__}; keep numbers, strings, tensors, and "
            f"lists, tuples and dicts of them there, and everything else on self"
        )
