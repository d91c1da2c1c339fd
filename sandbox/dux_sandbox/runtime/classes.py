"""Classes that a source makes: allowed bases, allowed names, and a door on each method.

The door on a rule's own methods counts loops afresh, puts the grad mode back, and looks
at what the rule has left in its state.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch

from dux_sandbox.runtime.context import Context, Runaway, TurnsUsedUp
from dux_sandbox.runtime.facade import BASES
from dux_sandbox.runtime.kept import check_values

_ALLOWED_DUNDERS = frozenset(
    """__module__ __qualname__ __doc__ __classcell__ __init__ __setstate__ __call__
    __annotations__ __static_attributes__ __firstlineno__ __annotate__
    __annotate_func__ __annotations_cache__ __conditional_annotations__""".split()
)
_DOORS = (
    "__init__ __setstate__ step zero_grad state_dict load_state_dict add_param_group"
).split()


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
