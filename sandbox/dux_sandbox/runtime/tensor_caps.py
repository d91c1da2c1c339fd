"""Which functions of torch could make or do too much, and what is asked before each.

`CHECKS` holds what is the same as a function and as a method, by name; `FUNCTIONS` what
is a function only, by dotted path; `METHODS` what is a Tensor method only. What is in
none of them makes nothing larger than the largest thing it is given.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.runtime import (
    dimensions,
    matrix_caps,
    pieces,
    spectral_caps,
    trusted,
)
from dux_sandbox.runtime.broadcasting import check_pair, check_together
from dux_sandbox.runtime.budget import account
from dux_sandbox.runtime.indexing import check_index
from dux_sandbox.runtime.named_arguments import in_order
from dux_sandbox.runtime.nesting import check_nested
from dux_sandbox.runtime.products import check_elements

Check = Callable[..., None]
Count = Callable[..., float]


def capped(function: Callable[..., Any], check: Check) -> Callable[..., Any]:
    """`function`, refused where `check` raises for the same arguments."""

    @functools.wraps(function, assigned=("__name__", "__doc__"), updated=())
    def build(*arguments: Any, **options: Any) -> Any:
        if options:
            given, named = in_order(arguments, options)
            check(*given, **named)
        else:
            check(*arguments)
        return function(*arguments, **options)

    del build.__wrapped__
    return build


def _at_most(count: Count, name: str) -> Check:
    """A check of how many elements are made."""

    def check(*arguments: Any, **options: Any) -> None:
        check_elements(count(*arguments, **options), name)

    return check


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


def _size(size: Any = (), *_: Any, n: Any = (), **__: Any) -> float:
    return _sizes([size, n])


def _square(n: Any = 1, m: Any = None, *_: Any, **options: Any) -> float:
    if options:
        n, m = options.get("row", n), options.get("col", m)
    return _sizes([n, n if m is None else m])


def _range(start: Any = 0, end: Any = None, step: Any = 1, **_: Any) -> float:
    first, last = (0.0, float(start)) if end is None else (float(start), float(end))
    return abs(last - first) / max(abs(float(step)), 1e-300)


def _steps(start: Any, end: Any, steps: Any = 100, *_: Any, **__: Any) -> float:
    return float(steps)


def _any_size(*values: Any, size: Any = (), **_: Any) -> float:
    shapes = [v for v in values if isinstance(v, (tuple, list))]
    return _sizes([*shapes, size])


def numel(value: Any) -> float:
    """How many elements a tensor has; 1 for anything else."""
    return float(value.numel()) if isinstance(value, torch.Tensor) else 1.0


def _expand(tensor: Any, *sizes: Any, **options: Any) -> float:
    flat = [s for v in (*sizes, *options.values()) for s in _flat(v)]
    kept = (1.0,) * max(0, len(flat) - tensor.ndim) + tuple(tensor.shape)
    if len(kept) != len(flat):
        return 0.0  # torch will say that they do not fit
    total = math.prod(k if s < 0 else s for k, s in zip(kept, flat, strict=True))
    return 0.0 if total <= tensor.numel() else total


def _flat(value: Any) -> list[float]:
    if isinstance(value, (tuple, list)):
        return [s for v in value for s in _flat(v)]
    if isinstance(value, torch.Tensor):
        return [float(value)] if value.numel() == 1 else []
    return [float(value)] if isinstance(value, (int, float)) else []


def _broadcast_to(tensor: Any, size: Any = (), **options: Any) -> float:
    return _expand(tensor, size, *options.values())


def _repeat(tensor: Any, *times: Any, **options: Any) -> float:
    return numel(tensor) * math.prod(_flat([*times, *options.values()]))


def _interleave(
    tensor: Any, repeats: Any = None, *_: Any, dim: Any = None, **__: Any
) -> float:
    if repeats is None:  # torch.repeat_interleave(counts): the places, one by one
        return float(tensor.sum())
    if isinstance(repeats, torch.Tensor):
        largest = float(repeats.max()) if repeats.numel() else 0.0
        return numel(tensor) * max(1.0, largest)
    return numel(tensor) * max(1.0, float(repeats))


def _product(*tensors: Any, **options: Any) -> float:
    given = [*tensors, *options.values()]
    flat = [t for v in given for t in (v if isinstance(v, (tuple, list)) else [v])]
    return math.prod(numel(t) for t in flat if isinstance(t, torch.Tensor))


def _diagonal(tensor: Any, offset: Any = 0, diagonal: Any = 0, **_: Any) -> float:
    size = numel(tensor) if tensor.ndim < 2 else 1.0
    return (size + abs(float(offset or diagonal))) ** 2


def _flat_diagonal(tensor: Any, offset: Any = 0, *_: Any, **__: Any) -> float:
    return (numel(tensor) + abs(float(offset))) ** 2


def _embedded(tensor: Any, offset: Any = 0, *_: Any, **__: Any) -> float:
    last = tensor.shape[-1] if tensor.ndim else 1
    return numel(tensor) * (last + abs(float(offset)))


def _blocks(*tensors: Any) -> float:
    return sum(numel(t) for t in tensors) ** 2


def _classes(tensor: Any, num_classes: Any = -1) -> float:
    if num_classes < 0:
        num_classes = float(tensor.max()) + 1 if tensor.numel() else 0
    return numel(tensor) * float(num_classes)


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
    account(tensor.numel())
    return numel(tensor) * (vocabulary.ELEMENTS / vocabulary.LIST_ELEMENTS)


def _places(tensor: Any, *_: Any, **__: Any) -> float:
    """Of `nonzero`: an index for every dimension; four are no more than moments."""
    dimensions: int = tensor.ndim
    return numel(tensor) * dimensions if dimensions > 4 else 0.0


def _selected(tensor: Any, dim: Any, index: Any) -> float:
    if not tensor.ndim:
        return numel(index)
    length: int = tensor.shape[dim]
    return numel(index) * numel(tensor) / max(1, length)


def _quantiles(tensor: Any, q: Any, *_: Any, dim: Any = None, **__: Any) -> float:
    return numel(q) * numel(tensor) if isinstance(q, torch.Tensor) else 0.0


def _samples(tensor: Any, num_samples: Any, *_: Any, **__: Any) -> float:
    return float(num_samples) * (tensor.shape[0] if tensor.ndim > 1 else 1)


def _windows(tensor: Any, dimension: Any, size: Any, step: Any) -> float:
    length = tensor.shape[dimension] if tensor.ndim else 1
    count = max(0.0, (length - float(size)) // max(1.0, float(step)) + 1)
    total = count * float(size) * numel(tensor) / max(1, length)
    return 0.0 if total <= numel(tensor) else total


def _together(*arguments: Any, **options: Any) -> None:
    if not options and len(arguments) == 2:
        left, right = arguments
        if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
            check_pair(left, right)
        return
    check_together((*arguments, *options.values()))


def _listed_together(*arguments: Any) -> None:
    one = arguments[0] if arguments and isinstance(arguments[0], (list, tuple)) else ()
    check_together((*arguments, *one))


def _indexed(tensor: Any, indices: Any, *_: Any, **__: Any) -> None:
    check_index(tensor, tuple(indices))


def _nested(*arguments: Any, **options: Any) -> None:
    """What torch makes a tensor of may be a list of lists."""
    for value in (*arguments, *options.values()):
        check_nested(value)


def _normal(*values: Any, **options: Any) -> None:
    check_together((*values, *options.values()))
    check_elements(_any_size(*values, **options), "normal")


def _differences(tensor: Any, n: Any = 1, *_: Any, **__: Any) -> None:
    if n > 100:
        raise ValueError(f"differences {n} times over; at most 100")


# Two or more tensors of unlike shapes spread each other out.
_BROADCASTING = """
add addcdiv addcmul allclose atan2 bitwise_and bitwise_or bitwise_xor clamp
clamp_max clamp_min clip copysign cross dist div divide eq float_power floor_divide fmax
fmin fmod ge greater greater_equal gt heaviside hypot isclose ldexp le lerp less
less_equal logaddexp logaddexp2 logical_and logical_or logical_xor lt masked_fill
masked_scatter masked_select maximum minimum mul multiply ne nextafter not_equal pow
remainder sub subtract take_along_dim true_divide where xlogy
""".split()
_BROADCASTING_FUNCTIONS = """
torch.complex torch.cosine_similarity torch.cumulative_trapezoid torch.polar
torch.trapezoid torch.trapz torch.linalg.cross torch.linalg.vecdot
torch.nn.functional.binary_cross_entropy
torch.nn.functional.binary_cross_entropy_with_logits
torch.nn.functional.cosine_similarity torch.nn.functional.huber_loss
torch.nn.functional.kl_div torch.nn.functional.l1_loss torch.nn.functional.mse_loss
torch.nn.functional.smooth_l1_loss
""".split()


def _counted(table: dict[str, Count]) -> dict[str, Check]:
    return {name: _at_most(count, name) for name, count in table.items()}


CHECKS: dict[str, Check] = {
    **dict.fromkeys(_BROADCASTING, _together),
    **_counted(
        {
            "addr": lambda _, vec1, vec2, **options: _product(vec1, vec2),
            "argwhere": _places,
            "corrcoef": _rows_squared,
            "cov": _rows_squared,
            "diag": _diagonal,
            "diag_embed": _embedded,
            "diagflat": _flat_diagonal,
            "index_select": _selected,
            "kron": _product,
            "nanquantile": _quantiles,
            "nonzero": _places,
            "ger": _product,
            "outer": _product,
            "quantile": _quantiles,
            "repeat_interleave": _interleave,
            "tile": _repeat,
        }
    ),
    "diff": _differences,
    **pieces.CHECKS,
    **matrix_caps.CHECKS,
}
FUNCTIONS: dict[str, Check] = {
    **{f"torch.{name}": check for name, check in CHECKS.items()},
    **dict.fromkeys(_BROADCASTING_FUNCTIONS, _together),
    **_counted(
        {
            "torch.arange": _range,
            "torch.block_diag": _blocks,
            "torch.broadcast_to": _broadcast_to,
            "torch.empty": _shape,
            "torch.eye": _square,
            "torch.full": _size,
            "torch.linspace": _steps,
            "torch.logspace": _steps,
            "torch.meshgrid": _product,
            "torch.multinomial": _samples,
            "torch.ones": _shape,
            "torch.rand": _shape,
            "torch.randint": _any_size,
            "torch.randn": _shape,
            "torch.randperm": _size,
            "torch.tril_indices": _square,
            "torch.triu_indices": _square,
            "torch.zeros": _shape,
            "torch.nn.functional.one_hot": _classes,
            "torch.nn.functional.pad": _padded,
        }
    ),
    "torch.as_tensor": _nested,
    "torch.broadcast_tensors": _listed_together,
    "torch.normal": _normal,
    "torch.tensor": _nested,
    **pieces.FUNCTIONS,
    **matrix_caps.FUNCTIONS,
    **spectral_caps.FUNCTIONS,
}
METHODS: dict[str, Check] = {
    **CHECKS,
    **_counted(
        {
            "expand": _expand,
            "new_empty": lambda _, *sizes, **options: _shape(*sizes, **options),
            "new_full": lambda _, size=(), *rest, **options: _size(size),
            "new_ones": lambda _, *sizes, **options: _shape(*sizes, **options),
            "new_zeros": lambda _, *sizes, **options: _shape(*sizes, **options),
            "repeat": _repeat,
            "tolist": _list,
            "unfold": _windows,
        }
    ),
    "expand_as": _together,
    "index_put": _indexed,
    "index_put_": _indexed,
    "new_tensor": lambda _, *values, **options: _nested(*values, **options),
    **pieces.METHODS,
    **matrix_caps.METHODS,
}


def _first(table: dict[str, Check], checks: dict[str, Check]) -> None:
    """What is trusted comes first: a size that is wrong is not worth counting."""
    for name, check in checks.items():
        then = table.get(name)
        table[name] = check if then is None else trusted.both(check, then)


_first(FUNCTIONS, dimensions.FUNCTIONS)
_first(METHODS, dimensions.METHODS)
_first(FUNCTIONS, trusted.FUNCTIONS)
_first(METHODS, trusted.METHODS)
