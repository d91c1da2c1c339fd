"""What a source keeps where no program sees it: in globals, classes and defaults, and
in what the functions that a rule holds have captured."""

import itertools
from collections import OrderedDict, defaultdict, deque
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import torch

from dux_sandbox.language.seeded_functions import HELD
from dux_sandbox.loading import namespace_of
from dux_sandbox.runtime.inner_optimizers import own_names

_MOST_DEPTH = 24
_MOST_ITEMS = 200_000
_WHOLE = 200
_MAPPINGS = (dict, OrderedDict, defaultdict)
_CALLED = (FunctionType, MethodType, partial)
_more = itertools.count()


def outside_of(kind: type[torch.optim.Optimizer], rule: torch.optim.Optimizer) -> str:
    """A text that changes when any of it does.

    Args:
        kind: the guarded class.
        rule: an instance; its own parameters are nothing outside.
    """
    own = {id(p) for group in rule.param_groups for p in group["params"]}
    own |= {id(vars(rule)[name]) for name in (HELD,) if name in vars(rule)}
    telling = _Telling(own | {id(rule)})
    for name, value in namespace_of(kind).items():
        if not name.startswith(("@", "__")):
            telling.describe(value)
    telling.describe(rule.defaults)
    told = list(telling.seen)
    held = [vars(rule)[name] for name in own_names(rule)]
    for _ in range(2):  # first, which helper objects it has by a name of its own
        telling.seen = list(told)
        telling.functions_in(held)
    return "\n".join(telling.seen)


class _Telling:
    def __init__(self, own: set[int]) -> None:
        self.seen: list[str] = []
        self._own = own
        # What a value is inside of: a function that calls itself has captured itself.
        self._around: set[int] = set()

    def functions_in(self, value: Any, depth: int = 0) -> None:
        """Describe the functions in what a rule keeps, and nothing else of it."""
        if depth > _MOST_DEPTH or id(value) in self._own:
            return
        if isinstance(value, _CALLED):
            self.describe(value)
        elif isinstance(value, _MAPPINGS):
            for each in value.values():
                self.functions_in(each, depth + 1)
        elif isinstance(value, (list, tuple, deque)):
            for each in value:
                self.functions_in(each, depth + 1)
        elif is_helper(value):
            # It is filled again with what it keeps, whoever else has it.
            self._own.add(id(value))
            for each in vars(value).values():
                self.functions_in(each, depth + 1)

    def describe(self, value: Any, depth: int = 0) -> None:
        """Add what can be told of a value."""
        if id(value) in self._own:
            return
        if id(value) in self._around:
            self.seen.append("around")
            return
        self._around.add(id(value))
        self._describe(value, depth)
        self._around.discard(id(value))

    def _describe(self, value: Any, depth: int) -> None:
        seen = self.seen
        if depth > _MOST_DEPTH or len(seen) > _MOST_ITEMS:
            # Nobody can tell whether it changes: it counts as if it did.
            seen.append(f"more {next(_more)}")
        elif isinstance(value, (str, int, float, bool, type(None))):
            text = repr(value)
            seen.append(text if len(text) <= _WHOLE else f"text {hash(text)}")
        elif isinstance(value, torch.Tensor):
            seen.append(f"tensor {id(value)} {value._version}")
        elif isinstance(value, _MAPPINGS):
            for key, item in value.items():
                seen.append(str(type(key)))
                self.describe(key, depth + 1)
                self.describe(item, depth + 1)
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            seen.append(f"{type(value).__name__} of {len(value)}")
            for item in value:
                self.describe(item, depth + 1)
        elif isinstance(value, (*_CALLED, staticmethod, classmethod)):
            for part in captured_by(value):
                self.describe(part, depth + 1)
        elif is_helper(value):
            self.describe(vars(value), depth + 1)
        elif isinstance(value, type) and value.__module__ == "dux_rule":
            for name, item in vars(value).items():
                if not name.startswith("__"):
                    seen.append(name)
                    self.describe(item, depth + 1)
        else:
            seen.append(f"{type(value).__name__} {id(value)}")


def is_helper(value: Any) -> bool:
    """Whether it is an object of a class in the source, other than an optimizer."""
    is_own = type(value).__module__ == "dux_rule" and hasattr(value, "__dict__")
    return is_own and not isinstance(value, torch.optim.Optimizer)


def captured_by(function: Any) -> list[Any]:
    """What a function has of its own, or hands on to another one."""
    if isinstance(function, partial):
        return [function.func, function.args, function.keywords]
    if isinstance(function, MethodType):
        return [function.__func__, function.__self__]
    if isinstance(function, (staticmethod, classmethod)):
        return [function.__func__]
    cells = [each.cell_contents for each in function.__closure__ or () if _full(each)]
    return [function.__defaults__, function.__kwdefaults__, cells]


def _full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
