"""What a rule may leave in a parameter group: the judge of option values.

LR schedulers calculate with `lr`, write into it where it is a tensor, and keep names
of their own in a group. A value that they cannot read would end `scheduler.step()`,
and one that shares memory with a weight would have them write into the weight.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import is_
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch

from dux_sandbox.tensor_numbers import number_inside

# Where torch's schedulers keep their own bounds. A rule may have options of these
# names, for itself alone.
SCHEDULERS = frozenset(
    "initial_lr max_lr min_lr max_momentum base_momentum swa_lr".split()
)
# What OneCycleLR and CyclicLR write at every step when they also drive the momentum;
# they read "betas" before they do.
CYCLED = frozenset(["momentum", "betas"])
MOST_OPTIONS = 1_000
# As the default of an option; a rule that is built again has it again.
FUNCTIONS = (FunctionType, BuiltinFunctionType)
# Of lists and their like, one inside the other, and of items in them all: no less than
# what `runtime.kept` lets a rule keep.
_DEEPEST, _MOST_ITEMS = 10, 2_000_000
_CONTAINERS = (dict, list, tuple, set)
# What schedules multiply a rate by must not make it infinite.
_MOST_RATE = 1e18


def rate_fault(rate: Any, shared: Iterable[torch.Tensor] = ()) -> str | None:
    """Why `rate` cannot be a group's learning rate, or None.

    It may be a finite real number, or a real, finite, 0-d tensor of its own storage.

    Args:
        shared: tensors whose memory it must not lie in.

    >>> rate_fault(0.1), rate_fault(math.inf)
    (None, "group['lr'] is inf; it must be finite")
    """
    if type(rate) is float:
        return _number_fault(rate)
    if type(rate) is int:
        if not _fits(rate):
            return _not_finite("beyond the largest float")
        return _number_fault(float(rate))
    if not isinstance(rate, torch.Tensor):
        return (
            f"group['lr'] is a {type(rate).__name__}; it must be a number; "
            f"keep anything else under another name"
        )
    return _tensor_fault(rate, shared)


def _number_fault(rate: float) -> str | None:
    if not math.isfinite(rate):
        return _not_finite(str(rate))
    if abs(rate) > _MOST_RATE:
        return f"group['lr'] is {rate:g}; it must be {_MOST_RATE:g} at most"
    return None


def _not_finite(found: str) -> str:
    return f"group['lr'] is {found}; it must be finite"


def _fits(number: int) -> bool:
    try:
        float(number)
    except OverflowError:
        return False
    return True


def _tensor_fault(rate: torch.Tensor, shared: Iterable[torch.Tensor]) -> str | None:
    wanted = "a real, finite tensor of no dimensions and of its own"
    found = None
    if type(rate) is not torch.Tensor or rate.requires_grad:
        found = "a parameter or a part of a graph"
    elif rate.dim() != 0:
        found = f"a tensor of shape {tuple(rate.shape)}"
    elif rate.is_meta or rate.layout is not torch.strided or rate.is_quantized:
        found = "a tensor that holds no value"
    elif rate.is_complex() or rate.dtype is torch.bool:
        found = f"a tensor of {rate.dtype}"
    elif _shares(rate, shared):
        found = "a part of another tensor"
    elif not math.isfinite(float(rate)):
        return _not_finite(f"a tensor that holds {float(rate)}")
    if found is None:
        return _number_fault(float(rate))
    return f"group['lr'] is {found}; it must be a number, or {wanted}"


def _shares(rate: torch.Tensor, others: Iterable[torch.Tensor]) -> bool:
    """Whether the memory of a 0-d tensor is anybody else's too."""
    storage = rate.untyped_storage()
    if storage.nbytes() != rate.element_size():
        return True
    place = storage.data_ptr()
    return any(
        other.layout is torch.strided and other.untyped_storage().data_ptr() == place
        for other in others
    )


def is_cycled(group: dict[str, Any]) -> bool:
    """Whether a scheduler drives the momentum of this group as well."""
    return "max_momentum" in group or "base_momentum" in group


def can_be_cycled(name: str, value: Any) -> bool:
    """Whether a scheduler that drives the momentum can go on from this value."""
    if name == "momentum":
        return type(value) in (int, float)
    return (
        type(value) in (tuple, list)
        and len(value) > 0
        and all(type(each) in (int, float) for each in value)
    )


def check_options(options: dict[str, Any]) -> None:
    """Refuse the option values of one group of a rule as it was built.

    Raises:
        ValueError: with what was found and what was wanted.
    """
    if len(options) > MOST_OPTIONS:
        raise ValueError(f"a group has {len(options)} options; at most {MOST_OPTIONS}")
    rate = options.get("lr")
    fault = None if rate is None else rate_fault(rate)
    if fault is not None:
        raise ValueError(fault)


def shared(options: dict[str, Any]) -> dict[str, Any]:
    """The options of one group that a rule shares with a training loop.

    A rate of None is no rate: the rule works it out by itself, and the loop's own, with
    which schedules calculate, stays as it is. Tensors that a rule keeps in its groups,
    and functions that it was built with, are nothing to a loop either.

    >>> shared({"lr": None, "eps": 1e-8, "reduce": max})
    {'eps': 1e-08}
    """
    return {n: v for n, v in options.items() if not stays(n, v)}


def of_its_own(value: Any) -> Any:
    """An option value that stays as it is when a loop writes to its list, dict or
    tensor: a schedule of torch fills a rate that is a tensor with the next one. Of a
    tensor of one element it is the number, as it crosses to a rule's process.

    >>> betas = [0.9, 0.99]
    >>> told = of_its_own(betas)
    >>> betas[0] = 0.5
    >>> told
    [0.9, 0.99]
    """
    kind = type(value)
    if kind in (list, tuple):
        inside = [of_its_own(each) for each in value]
        same = kind is tuple and all(map(is_, inside, value))
        return value if same else kind(inside)
    if kind is dict:
        return {name: of_its_own(each) for name, each in value.items()}
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return number_inside(value)
    return set(value) if kind is set else value


@contextmanager
def one_for_all(groups: Sequence[dict[str, Any]]) -> Iterator[None]:
    """A list, dict or set that several groups share is one for all of them afterwards,
    too, where what stands in its place inside is the same for each.

    >>> betas = [0.9, 0.99]
    >>> groups = [{"betas": betas}, {"betas": betas}]
    >>> with one_for_all(groups):
    ...     groups[0]["betas"], groups[1]["betas"] = [0.5], [0.5]
    >>> groups[0]["betas"] is groups[1]["betas"]
    True
    """
    places: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for group in groups:
        for name, value in group.items():
            if type(value) in (list, dict, set) and name != "params":
                places.setdefault((name, id(value)), []).append(group)
    yield
    for (name, _), (first, *others) in places.items():
        found = first.get(name)
        values = [one.get(name) for one in others]
        if found is not None and all(map(partial(_is_like, found), values)):
            for one in others:
                one[name] = found


def _is_like(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and bool(one == other))


def stays(name: str, value: Any) -> bool:
    """Whether an option is the rule's alone."""
    if type(value) in (float, int, bool, str) or name == "params":
        return False
    if name == "lr":
        return value is None
    return type(value) in FUNCTIONS or holds_tensors(value)


def holds_tensors(value: Any) -> bool:
    """Whether an option is a tensor with dimensions, or holds tensors.

    So does what is deeper, or holds more, than a rule may keep: it is no option that a
    loop could share, and a list of lists of one list takes for ever to walk through.
    """
    if isinstance(value, torch.Tensor):
        return value.dim() > 0 or value.is_meta or value.is_complex()
    level, left = [value], _MOST_ITEMS
    for _ in range(_DEEPEST):
        inside = [each for each in level if isinstance(each, _CONTAINERS)]
        left -= sum(map(len, inside))
        if not inside or left < 0:
            return left < 0
        level = [part for each in inside for part in each]
        level += [w for each in inside if isinstance(each, dict) for w in each.values()]
        if any(isinstance(part, torch.Tensor) for part in level):
            return True
    return True


def kept_tensors(group: dict[str, Any]) -> dict[str, Any]:
    """What a rule keeps in one group, and could as well keep on itself."""
    return {
        name: value
        for name, value in group.items()
        if type(name) is str and name not in ("params", "lr") and holds_tensors(value)
    }


def as_numbers(options: dict[str, Any], told: Collection[str] = ()) -> dict[str, Any]:
    """The option values of one group as they cross between processes.

    A real 0-d tensor crosses as its number; it stays a tensor on the rule's side until
    the loop writes the option. What a rule does not share stays there altogether.

    Args:
        told: the names that have crossed before; a rate among them stays one.

    Raises:
        ValueError: the rate is any other tensor.
    """
    numbers: dict[str, Any] = {}
    for name, value in (options if "lr" in told else shared(options)).items():
        if name == "lr" and isinstance(value, torch.Tensor):
            fault = rate_fault(value)
            if fault is not None:
                raise ValueError(fault)
        if not stays(name, value) or name == "lr":
            numbers[name] = value.item() if isinstance(value, torch.Tensor) else value
    return numbers
