"""The door on each method of a rule that the trainer calls.

It counts loops afresh, puts the grad mode back, looks at what the rule has left in its
state, and does what only the trainer may ask for: the base's part of `__setstate__`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.runtime.context import Context, Runaway, TurnsUsedUp
from dux_sandbox.runtime.facade import BASES
from dux_sandbox.runtime.kept import check_values
from dux_sandbox.runtime.stock import prepare

Method = Callable[..., Any]
NAMES = (
    "__init__ __setstate__ step zero_grad state_dict load_state_dict add_param_group"
).split()


_MODES = ("train", "eval")


def is_door(method: object) -> bool:
    """Whether `method` is a door, or bound to one."""
    return getattr(method, "dux_door", False) is True


class Doors:
    """Makes the doors of one source.

    A source never reaches one of `__setstate__` but through `asked_by_rule`: the
    trainer alone calls it as it is.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def on(self, name: str, function: Method) -> Method:
        """The door `name` on a method that a source wrote."""
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
                    check_values(self, context.numbers)
                elif name == "__init__":
                    _begin_training(self, context)
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
                return _within(running, rule, function, arguments, options)
            if name != "__setstate__" or id(rule) in context.restoring:
                return function(rule, *arguments, **options)
            # The base's part is done here, on what the caller gave: a rule that calls
            # super().__setstate__ cannot slip other groups into it.
            stock = next(kind for kind in type(rule).__mro__ if kind in BASES)
            stock.__setstate__(rule, *arguments)  # type: ignore[attr-defined]
            return _within(context.restoring, rule, function, arguments, options)

        enter.dux_door = True  # type: ignore[attr-defined]
        return enter

    def inherited(self, name: str, made: type) -> Method:
        """The door `name` of a class that does not define it itself.

        What is behind it is found anew at every call, in the order of the instance's
        own classes: a door must not stand before a sibling's method.
        """

        def method(rule: Any, *arguments: Any, **options: Any) -> Any:
            found = getattr(super(made, rule), name)
            if name == "step" and not is_door(found):
                prepare(rule)
            return found(*arguments, **options)

        behind = next(vars(kind)[name] for kind in made.__mro__ if name in vars(kind))
        method.__name__ = name
        method.__wrapped__ = behind  # type: ignore[attr-defined]  # for its signature
        door = self.on(name, method)
        if name == "step":
            # torch has wrapped, or will wrap, the method behind it.
            door.hooked = True  # type: ignore[attr-defined]
        return door

    def asked_by_rule(self, rule: Any, method: Method) -> Method:
        """`__setstate__` as a source gets it: torch's part is not its to ask for."""
        if not is_door(method):
            return _nothing

        def call(*arguments: Any, **options: Any) -> Any:
            if id(rule) not in self._context.restoring:
                raise TypeError(
                    "__setstate__ may be called only from __setstate__, while the "
                    "training loop restores the rule; write self.state[p] and "
                    "group[...] instead"
                )
            return method(*arguments, **options)

        return call


def _within(
    running: set[int],
    rule: Any,
    function: Method,
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


def _begin_training(rule: Any, context: Context) -> None:
    """Call `train()` of a rule that tells training from evaluation, and has `eval()`.

    A schedule-free rule, say, steps in the one mode only, and a training loop that
    does not know it calls neither.
    """
    own = [vars(kind) for kind in type(rule).__mro__ if kind in context.classes]
    if all(any(callable(held.get(name)) for held in own) for name in _MODES):
        rule.train()


def _nothing(*arguments: Any) -> None:
    """super().__setstate__: the base's part was done before the rule's began."""
