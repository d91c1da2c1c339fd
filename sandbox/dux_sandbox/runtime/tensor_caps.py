"""Tensor builders and enlargers with a cap on the elements they make."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from dux_sandbox.language import vocabulary

Count = Callable[..., float]


def check_elements(total: float, name: str) -> None:
    """Refuse a tensor of more than `vocabulary.ELEMENTS` elements.

    Raises:
        ValueError: `total` is over the cap.
    """
    if total > vocabulary.ELEMENTS:
        raise ValueError(
            f"{name} would make {total:.0f} elements; at most "
            f"{vocabulary.ELEMENTS}; build tensors of a parameter's own shape"
        )


def capped(function: Callable[..., Any], count: Count, name: str) -> Callable[..., Any]:
    """`function`, refused where `count` of the same arguments is over the cap."""

    @functools.wraps(function, assigned=("__name__", "__doc__"), updated=())
    def build(*arguments: Any, **options: Any) -> Any:
        check_elements(count(*arguments, **options), name)
        return function(*arguments, **options)

    del build.__wrapped__
    return build


def _sizes(values: Iterable[Any]) -> float:
    total = 1.0
    for value in values:
        if isinstance(value, (tuple, list)):
            total *= _sizes(value)
        elif isinstance(value, (int, float)) or (
            isinstance(value, torch.Tensor) and value.numel() == 1
        ):
            total *= abs(float(value))
    return total


def _shape(*sizes: Any, size: Any = (), **_: Any) -> float:
    return _sizes(sizes) * _sizes([size])


def _first(size: Any = (), *_: Any, **__: Any) -> float:
    return _sizes([size])


def _square(n: Any, m: Any = None, *_: Any, **__: Any) -> float:
    return _sizes([n, n if m is None else m])


def _range(start: Any, end: Any = None, step: Any = 1, **_: Any) -> float:
    first, last = (0.0, float(start)) if end is None else (float(start), float(end))
    return abs(last - first) / max(abs(float(step)), 1e-300)


def _steps(start: Any, end: Any, steps: Any = 100, *_: Any, **__: Any) -> float:
    return float(steps)


def _any_size(*values: Any, size: Any = (), **_: Any) -> float:
    shapes = [v for v in values if isinstance(v, (tuple, list))]
    return _sizes([*shapes, size])


def _numel(value: Any) -> float:
    return float(value.numel()) if isinstance(value, torch.Tensor) else 1.0


def _expand(tensor: Any, *sizes: Any, **options: Any) -> float:
    flat = [s for v in (*sizes, *options.values()) for s in _flat(v)]
    kept = _numel(tensor) if any(s < 0 for s in flat) else 1.0
    return kept * math.prod(float(s) for s in flat if s > 0)


def _flat(value: Any) -> list[float]:
    if isinstance(value, (tuple, list)):
        return [s for v in value for s in _flat(v)]
    return [float(value)] if isinstance(value, (int, float)) else []


def _repeat(tensor: Any, *times: Any, **options: Any) -> float:
    return _numel(tensor) * math.prod(_flat([*times, *options.values()]))


def _interleave(tensor: Any, repeats: Any = 1, *_: Any, **__: Any) -> float:
    if isinstance(repeats, torch.Tensor):
        largest = float(repeats.max()) if repeats.numel() else 0.0
        return _numel(tensor) * max(1.0, largest)
    return _numel(tensor) * max(1.0, float(repeats))


def _product(*tensors: Any, **_: Any) -> float:
    flat = [t for v in tensors for t in (v if isinstance(v, (tuple, list)) else [v])]
    return math.prod(_numel(t) for t in flat if isinstance(t, torch.Tensor))


def _rows(left: Any, right: Any = None, *_: Any, **__: Any) -> float:
    other = left if right is None else right
    leading = [max(1, math.prod(t.shape[:-1])) for t in (left, other)]
    return float(leading[0] * leading[1])


def _diagonal(tensor: Any, offset: Any = 0, *_: Any, **__: Any) -> float:
    size = _numel(tensor) if tensor.ndim < 2 else 1.0
    return (size + abs(float(offset))) ** 2


def _flat_diagonal(tensor: Any, offset: Any = 0, *_: Any, **__: Any) -> float:
    return (_numel(tensor) + abs(float(offset))) ** 2


def _embedded(tensor: Any, offset: Any = 0, *_: Any, **__: Any) -> float:
    last = tensor.shape[-1] if tensor.ndim else 1
    return _numel(tensor) * (last + abs(float(offset)))


def _blocks(*tensors: Any) -> float:
    return sum(_numel(t) for t in tensors) ** 2


def _classes(tensor: Any, num_classes: Any = -1) -> float:
    if num_classes < 0:
        num_classes = float(tensor.max()) + 1 if tensor.numel() else 0
    return _numel(tensor) * float(num_classes)


def _padded(tensor: Any, pad: Any, *_: Any, **__: Any) -> float:
    total, sizes = 1.0, list(tensor.shape)
    for index, size in enumerate(reversed(sizes)):
        extra = sum(_flat(pad[2 * index : 2 * index + 2]))
        total *= max(0.0, size + extra)
    return total


def _rows_squared(tensor: Any, *_: Any, **__: Any) -> float:
    return float(tensor.shape[0] if tensor.ndim else 1) ** 2


def _list(tensor: Any) -> float:
    # Python objects are 8 times the size: a smaller cap, on the same scale.
    return _numel(tensor) * (vocabulary.ELEMENTS / vocabulary.LIST_ELEMENTS)


# By dotted path below torch, or by Tensor method.
FUNCTIONS: dict[str, Count] = {
    "torch.zeros": _shape,
    "torch.ones": _shape,
    "torch.empty": _shape,
    "torch.rand": _shape,
    "torch.randn": _shape,
    "torch.full": _first,
    "torch.eye": _square,
    "torch.arange": _range,
    "torch.linspace": _steps,
    "torch.logspace": _steps,
    "torch.randperm": _first,
    "torch.randint": _any_size,
    "torch.normal": _any_size,
    "torch.tril_indices": _square,
    "torch.triu_indices": _square,
    "torch.broadcast_to": lambda _, *sizes, **options: _shape(*sizes, **options),
    "torch.tile": _repeat,
    "torch.repeat_interleave": _interleave,
    "torch.outer": _product,
    "torch.kron": _product,
    "torch.meshgrid": _product,
    "torch.addr": lambda _, a, b, **options: _product(a, b),
    "torch.cdist": _rows,
    "torch.inner": _rows,
    "torch.diag": _diagonal,
    "torch.diagflat": _flat_diagonal,
    "torch.diag_embed": _embedded,
    "torch.block_diag": _blocks,
    "torch.cov": _rows_squared,
    "torch.corrcoef": _rows_squared,
    "torch.nn.functional.one_hot": _classes,
    "torch.nn.functional.pad": _padded,
}
METHODS: dict[str, Count] = {
    "new_zeros": lambda _, *sizes, **options: _shape(*sizes, **options),
    "new_ones": lambda _, *sizes, **options: _shape(*sizes, **options),
    "new_empty": lambda _, *sizes, **options: _shape(*sizes, **options),
    "new_full": lambda _, size, *rest, **options: _first(size),
    "expand": _expand,
    "repeat": _repeat,
    "tile": _repeat,
    "repeat_interleave": _interleave,
    "outer": _product,
    "kron": _product,
    "addr": lambda _, a, b, **options: _product(a, b),
    "inner": _rows,
    "diag": _diagonal,
    "diagflat": _flat_diagonal,
    "diag_embed": _embedded,
    "cov": _rows_squared,
    "corrcoef": _rows_squared,
    "tolist": _list,
}
