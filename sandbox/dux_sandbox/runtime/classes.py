"""Classes that a source makes: allowed bases and names, a door on each method."""

from __future__ import annotations

from types import FunctionType
from typing import Any

import torch

from dux_sandbox.language import torch_names, vocabulary
from dux_sandbox.runtime import doors
from dux_sandbox.runtime.context import Context
from dux_sandbox.runtime.facade import BASES, is_plain

_ALLOWED_DUNDERS = frozenset(
    """__module__ __qualname__ __doc__ __classcell__ __init__ __setstate__ __call__
    __annotations__ __static_attributes__ __firstlineno__ __annotate__
    __annotate_func__ __annotations_cache__ __conditional_annotations__""".split()
)


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
        self._doors = doors.Doors(context)
        self._forbidden = reserved - overridable

    def make(self, name: str, bases: tuple[Any, ...], body: dict[str, Any]) -> type:
        """The metaclass of every class statement.

        Raises:
            TypeError: a base or a name in the body is not allowed.
        """
        if len(self._context.classes) >= vocabulary.CLASSES_MADE:
            raise RuntimeError(f"more than {vocabulary.CLASSES_MADE} classes")
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
        for key in body:
            if key.startswith("__") and key not in _ALLOWED_DUNDERS:
                raise TypeError(f"class {name} defines {key}; choose another name")
        if optimizer:
            self._judge(name, body, self._free(bases))
            for key in doors.NAMES:
                if key in body:
                    body[key] = self._doors.on(key, body[key])
        made = type(name, bases, body)
        if optimizer:
            self._require_one_kind(made)
        if optimizer:
            self._close_inherited(made)
        self._context.classes.add(made)
        return made

    @staticmethod
    def _free(bases: tuple[type, ...]) -> frozenset[str]:
        """Names of torch's other optimizers that a class on these bases may define."""
        optimizers = [b for b in bases if issubclass(b, torch.optim.Optimizer)]
        plain = all(is_plain(base) for base in optimizers)
        return torch_names.OF_STOCK_OPTIMIZERS if plain else frozenset()

    @staticmethod
    def _require_one_kind(made: type) -> None:
        """Refuse a class that mixes a rule of its own kind into one of torch's.

        The first may have names that torch's code would find in place of its own.
        """
        if is_plain(made):
            return
        for kind in made.__mro__:
            if kind is not torch.optim.Optimizer and is_plain(kind):
                raise TypeError(
                    f"class {made.__name__} is built on {kind.__name__} and on one of "
                    f"torch's optimizers; build it on one of them"
                )

    def _judge(self, name: str, body: dict[str, Any], free: frozenset[str]) -> None:
        """Refuse names of torch's own, and doors that are no methods."""
        for key, value in body.items():
            if key in self._forbidden - free:
                raise TypeError(f"class {name} defines {key}; choose another name")
            if key in doors.NAMES and type(value) is not FunctionType:
                raise TypeError(f"{name}.{key} must be a plain method")

    def _close_inherited(self, made: type) -> None:
        """Judge the helpers among the bases, and close what comes from them or torch.

        From now on nothing of torch's may be written on those helpers either.
        """
        for kind in made.__mro__[1:]:
            helper = kind in self._context.classes
            if helper and not issubclass(kind, torch.optim.Optimizer):
                self._judge(kind.__name__, dict(vars(kind)), self._free((made,)))
                self._context.mixins.add(kind)
        for name in doors.NAMES:
            owner = next((kind for kind in made.__mro__ if name in vars(kind)), object)
            torchs = owner in BASES and name in ("__init__", "step")
            if torchs or owner in self._context.mixins:
                setattr(made, name, self._doors.inherited(name, made))

    def asked_by_rule(self, rule: Any, method: doors.Method) -> doors.Method:
        """`__setstate__` of a base as a source gets it; see `Doors`."""
        return self._doors.asked_by_rule(rule, method)
