"""What stands behind the names that published optimizers import and hardly use.

Written for rules: none of torch's own helpers is reached. A decorator gives back what
it decorates, a warning goes nowhere, and a kernel that trusts its arguments is never
called: a rule that comes to it is told so.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Callable
from typing import Any, NoReturn

import torch

from dux_sandbox.language import idiom_names
from dux_sandbox.runtime.arithmetic import TENSORS
from dux_sandbox.runtime.iteration import bounded
from dux_sandbox.runtime.standins import INERT, StandIn

_MOST_FIELDS = 50
# Where torch's own optimizers go over to lists of tensors by themselves.
_FOREACH_DEVICES = frozenset(["cuda", "xpu", "mtia"])


def _itself(value: Any = None, *arguments: Any, **options: Any) -> Any:
    """As a decorator, with or without arguments: what it is put on, unchanged."""
    return value if callable(value) else _give_back


def _give_back(value: Any) -> Any:
    return value


def _wraps(*arguments: Any, **options: Any) -> Callable[[Any], Any]:
    return _give_back


def _nothing(*arguments: Any, **options: Any) -> None:
    """Text that is told goes nowhere, as with `print`."""


def _no(*arguments: Any, **options: Any) -> bool:
    return False


def _refusing(name: str, instead: str) -> Callable[..., NoReturn]:
    def refuse(*arguments: Any, **options: Any) -> NoReturn:
        raise NotImplementedError(f"{name} is not available in a rule; {instead}")

    return refuse


def unbound(name: str) -> NameError:
    """What Python raises for a name that nothing binds."""
    return NameError(f"name {name!r} is not defined")


unreached = _refusing(
    "what this option asks for", "the rule was judged as it is built, by its defaults"
)
# torch.optim.optimizer


def _without_grad(function: Any) -> Any:
    return torch.no_grad()(function)


def _get_value(value: Any) -> Any:
    return value.item() if type(value) in TENSORS else value


def _to_scalar(value: Any) -> Any:
    return value.squeeze() if type(value) in TENSORS and value.dim() else value


def _dispatch_sqrt(value: Any) -> Any:
    return value.sqrt() if type(value) in TENSORS else math.sqrt(value)


def _get_scalar_dtype(is_fused: Any = None) -> torch.dtype:
    double = torch.get_default_dtype() == torch.float64 and not is_fused
    return torch.float64 if double else torch.float32


def _default_to_fused_or_foreach(
    params: Any, differentiable: bool, use_fused: bool = False
) -> tuple[bool, bool]:
    """Never fused; lists of tensors where torch would use them."""
    tensors = [each for each in bounded(params) if each is not None]
    return False, not differentiable and all(
        type(each) in TENSORS and each.device.type in _FOREACH_DEVICES
        for each in tensors
    )


def _get_capturable_supported_devices(supports_xla: bool = True) -> list[str]:
    return ["cuda", "xpu", "hpu", *(["xla"] if supports_xla else [])]


def group_by_device_and_dtype(lists: Any, with_indices: bool = False) -> dict[Any, Any]:
    """`Optimizer._group_tensors_by_device_and_dtype`: by those of the first list.

    Args:
        lists: of tensors, or of None, all equally long.
        with_indices: where each stood; otherwise the indices are None.

    Returns:
        (device, dtype) -> (lists of the same order, indices).
    """
    columns = [list(bounded(each)) for each in bounded(lists)]
    found: dict[Any, Any] = {}
    for index, first in enumerate(columns[0] if columns else []):
        key = (first.device, first.dtype)
        if key not in found:
            empty: list[list[Any]] = [[] for _ in columns]
            found[key] = (empty, [] if with_indices else None)
        into, indices = found[key]
        for column, group in zip(columns, into, strict=True):
            if index < len(column):
                group.append(column[index])
        if indices is not None:
            indices.append(index)
    return found


def named_tuple(name: Any, fields: Any, *, defaults: Any = None, **_: Any) -> Any:
    """`collections.namedtuple`, whose values are treated as torch's own named results.

    Python makes it from text: the names are checked here, and by it.

    Raises:
        TypeError: a name is no string, or there are too many.
    """
    listed = fields.replace(",", " ").split() if type(fields) is str else fields
    names = [name, *bounded(listed)]
    if len(names) > _MOST_FIELDS or any(type(each) is not str for each in names):
        raise TypeError(f"namedtuple wants at most {_MOST_FIELDS - 1} names, all text")
    given = None if defaults is None else list(bounded(defaults))
    return collections.namedtuple(
        names[0], names[1:], defaults=given, module="torch.return_types"
    )


class Required:
    """`torch.optim.optimizer.required`, which stands for a value that was not given."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<required parameter>"


REQUIRED = Required()
_HELPERS: dict[str, Any] = {
    "_default_to_fused_or_foreach": _default_to_fused_or_foreach,
    "_device_dtype_check_for_fused": _refusing("fused=True", "leave fused out"),
    "_disable_dynamo_if_unsupported": _wraps,
    "_dispatch_sqrt": _dispatch_sqrt,
    "_get_capturable_supported_devices": _get_capturable_supported_devices,
    "_get_scalar_dtype": _get_scalar_dtype,
    "_get_value": _get_value,
    "_stack_if_compiling": _give_back,
    "_to_scalar": _to_scalar,
    "_use_grad_for_differentiable": _without_grad,
    # Bound to the guards of a source, which know the lists that must stay.
    "_view_as_real": _refusing("this", "from torch.optim.optimizer import it"),
    **dict.fromkeys(idiom_names.OPTIMIZER_DOCS, ""),
    **dict.fromkeys(idiom_names.OPTIMIZER_TYPES, INERT),
    "required": REQUIRED,
}


def _init(name: str) -> Callable[..., Any]:
    """A function of torch.nn.init, for a tensor and nothing that looks like one."""
    real = getattr(torch.nn.init, name)

    def fill(tensor: Any, *arguments: Any, **options: Any) -> Any:
        if type(tensor) not in TENSORS:
            raise TypeError(f"torch.nn.init.{name} wants a tensor")
        return real(tensor, *arguments, **options)

    return fill


class FullPrecision:
    """`torch.autocast`, which is left out: a rule computes in its tensors' dtypes.

    So is any context that changes nothing of what a rule computes.
    """

    __slots__ = ()

    def __init__(self, *arguments: Any, **options: Any) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *raised: object) -> None: ...

    def __call__(self, function: Any) -> Any:
        return function


class _Logger:
    """For the type of `LOGGER`, which is no class that a source could make more of."""


# By dotted path, what is not torch's own.
PATHS: dict[str, Any] = {
    **{f"torch.optim.optimizer.{name}": made for name, made in _HELPERS.items()},
    **{
        f"torch.{name}": _refusing(f"torch.{name}", "it trusts sizes and indices")
        for name in idiom_names.NO_KERNELS
    },
    **{
        f"torch.{name}": _refusing(f"torch.{name}", "write a loop over the first axis")
        for name in idiom_names.NO_TRANSFORMS
    },
    "torch.autocast": lambda *_, **__: FullPrecision(),
    "torch.compile": _itself,
    "torch.optim.adam.adam": _refusing("torch.optim.adam.adam", "write the update"),
    **{f"torch.nn.init.{name}": _init(name) for name in idiom_names.NN_INIT},
}
JIT: dict[str, Any] = {
    **dict.fromkeys(idiom_names.JIT, _itself),
    "is_scripting": _no,
    "is_tracing": _no,
}
SPARSE: dict[str, Any] = {
    name: _refusing(f"torch.sparse.{name}", "gradients are dense here")
    for name in idiom_names.SPARSE_MADE
}
COMPILER: dict[str, Any] = {
    "allow_in_graph": _itself,
    "cudagraph_mark_step_begin": _nothing,
    "disable": _itself,
    "is_compiling": torch.compiler.is_compiling,
    "is_dynamo_compiling": torch.compiler.is_dynamo_compiling,
    "is_exporting": _no,
}
DYNAMO: dict[str, Any] = {
    "allow_in_graph": _itself,
    "disable": _itself,
    "graph_break": _nothing,
    "is_compiling": torch.compiler.is_dynamo_compiling,
}
# A decorator, or a context, that has the compiler try again.
DYNAMO_UTILS: dict[str, Any] = {"disable_cache_limit": lambda *_, **__: FullPrecision()}
UTILS: dict[str, Any] = {"is_compiling": torch.compiler.is_compiling}
AMP: dict[str, Any] = {"autocast": lambda *_, **__: FullPrecision()}
AUTOGRAD: dict[str, Any] = {
    "Variable": StandIn(torch.Tensor, lambda data, **_: data),
    "enable_grad": torch.enable_grad,
    "no_grad": torch.no_grad,
}
FOREACH_UTILS: dict[str, Any] = {
    "_device_has_foreach_support": lambda device: device.type in _FOREACH_DEVICES,
    "_get_foreach_kernels_supported_devices": lambda: ["cuda", "xpu", "mtia"],
    "_group_tensors_by_device_and_dtype": group_by_device_and_dtype,
    "_has_foreach_support": lambda tensors, device: (
        device.type in _FOREACH_DEVICES
        and all(type(each) in TENSORS for each in bounded(tensors))
    ),
}
# What a rule asks before it takes a kernel of its own, or captures a graph; the memory
# and the queue of a device are the training's.
CUDA: dict[str, Any] = {
    **dict.fromkeys(idiom_names.CUDA_NOT, _no),
    **dict.fromkeys(idiom_names.CUDA_IDLE, _nothing),
}
WARNINGS: dict[str, Any] = dict.fromkeys(idiom_names.WARNINGS, _nothing)
_LOGGER = StandIn(
    _Logger,
    None,
    {**dict.fromkeys(idiom_names.LOGGER_METHODS, _nothing), "isEnabledFor": _no},
)
_SAID = "basicConfig critical debug error exception info log warn warning".split()
LOGGING: dict[str, Any] = {
    **{
        name: 10 * place
        for place, name in enumerate("DEBUG INFO WARNING ERROR CRITICAL".split(), 1)
    },
    **dict.fromkeys(_SAID, _nothing),
    "NullHandler": _nothing,
    "getLogger": lambda *name: _LOGGER,
}
ABC: dict[str, Any] = {"ABC": INERT, "ABCMeta": INERT, "abstractmethod": _give_back}
# Resolved before a source runs; see `dux_sandbox.language.records`.
DATACLASSES: dict[str, Any] = dict.fromkeys(idiom_names.DATACLASSES, INERT)
COLLECTIONS: dict[str, Any] = {"namedtuple": named_tuple}
FUNCTOOLS: dict[str, Any] = {"cache": _itself, "lru_cache": _itself, "wraps": _wraps}
TYPING: dict[str, Any] = dict.fromkeys(
    "final no_type_check overload override runtime_checkable".split(), _give_back
)
