"""What a source keeps where no program sees it: in globals, classes and defaults."""

from collections import OrderedDict, defaultdict, deque
from types import FunctionType
from typing import Any

import torch

from dux_sandbox.loading import namespace_of

_MOST_DEPTH = 6
_MOST_ITEMS = 20_000
_MAPPINGS = (dict, OrderedDict, defaultdict)


def outside_of(rule: type[torch.optim.Optimizer]) -> str:
    """A text that changes when any of it does."""
    seen: list[str] = []
    for name, value in namespace_of(rule).items():
        if name.startswith(("@", "__")):
            continue
        _describe(value, seen, 0)
    return "\n".join(seen)


def _describe(value: Any, seen: list[str], depth: int) -> None:
    if depth > _MOST_DEPTH or len(seen) > _MOST_ITEMS:
        return
    if isinstance(value, (str, int, float, bool, type(None))):
        seen.append(repr(value)[:200])
    elif isinstance(value, torch.Tensor):
        seen.append(f"tensor {id(value)} {value._version}")
    elif isinstance(value, _MAPPINGS):
        for key, item in value.items():
            seen.append(str(type(key)))
            _describe(key, seen, depth + 1)
            _describe(item, seen, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        seen.append(f"{type(value).__name__} of {len(value)}")
        for item in value:
            _describe(item, seen, depth + 1)
    elif isinstance(value, FunctionType):
        cells = [each.cell_contents for each in value.__closure__ or () if _full(each)]
        for part in (value.__defaults__, value.__kwdefaults__, cells):
            _describe(part, seen, depth + 1)
    elif isinstance(value, (staticmethod, classmethod)):
        _describe(value.__func__, seen, depth + 1)
    elif isinstance(value, type) and value.__module__ == "dux_rule":
        for name, item in vars(value).items():
            if not name.startswith("__"):
                seen.append(name)
                _describe(item, seen, depth + 1)
    else:
        seen.append(f"{type(value).__name__} {id(value)}")


def _full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
