"""Finds the learning rate schedulers of an optimizer, and tells kinds apart."""

import dis
import gc
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from types import CellType, FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from dux_agent.errors import BadArgument

# These compute a rate without a look at the one that they find.
_OVERWRITE = tuple(
    kind.get_lr
    for kind in (
        lr_scheduler.LambdaLR,
        lr_scheduler.OneCycleLR,
        lr_scheduler.CyclicLR,
        lr_scheduler.CosineAnnealingWarmRestarts,
    )
)
_METHODS = ("get_last_lr", "step", "state_dict", "load_state_dict")
_MOST_WRAPPERS = 8
# Accelerate's wrapper keeps an optimizer as `optimizer`, Lightning's as `_optimizer`.
_KEPT_AS = ("optimizer", "_optimizer")
_MOST_FRAMES = 24


def schedulers_over(optimizers: Sequence[torch.optim.Optimizer]) -> list[Any]:
    """The live schedulers whose optimizer is one of these, or a wrapper of one.

    The garbage collector is asked who holds them, which takes as long as going over all
    objects twice, and once or twice more for a wrapper. A scheduler that is part of
    another one is left out.
    """
    found: list[Any] = []
    seen = {id(each) for each in optimizers}
    held: Sequence[Any] = optimizers
    for _ in range(_MOST_WRAPPERS + 1):
        if not held:
            break
        holders = [each for each in _holders_of(held) if id(each) not in seen]
        seen |= set(map(id, holders))
        found += [each for each in holders if _is_scheduler(type(each))]
        # A wrapper, which may tell of rates itself, or a trainer: what is over it is
        # over the optimizer.
        held = [each for each in holders if not isinstance(each, LRScheduler)]
    return without_parts([each for each in found if is_over(each, optimizers)])


def _holders_of(objects: Sequence[Any]) -> list[Any]:
    """Those that keep one of these as an attribute in the way of a scheduler.

    Never `gc.get_objects`: whoever looks at all objects holds the tuples that other
    threads have not finished, and Python ends those threads with a SystemError.
    """
    wanted = set(map(id, objects))

    def keeps(attributes: dict[str, Any]) -> bool:
        return any(id(attributes.get(name)) in wanted for name in _KEPT_AS)

    known = gc.get_referrers(*objects)
    of_their_own = [each for each in known if type(each) is dict and keeps(each)]
    if of_their_own:
        known += gc.get_referrers(*of_their_own)
    one_by_one = {id(each): each for each in known if keeps(_attributes_of(each))}
    return list(one_by_one.values())


def _attributes_of(holder: Any) -> dict[str, Any]:
    """What an object keeps, without a word to it; nothing for a class or a module."""
    if isinstance(holder, type | ModuleType):
        return {}
    try:
        found = object.__getattribute__(holder, "__dict__")
    except Exception:  # of a proxy of somebody's own it may be anything
        return {}
    return found if isinstance(found, dict) else {}


def without_parts(schedulers: Sequence[Any]) -> list[Any]:
    """Those that no other one of them steps."""
    parts = {id(part) for each in schedulers for part in parts_of(each)}
    return [each for each in schedulers if id(each) not in parts]


def parts_of(scheduler: Any) -> Iterator[Any]:
    """The schedulers that this one steps, as SequentialLR does."""
    for value in list(vars(scheduler).values()):
        inside = value if isinstance(value, list | tuple) else (value,)
        for part in inside:
            if part is not scheduler and _is_scheduler(type(part)):
                yield part


def all_parts_of(scheduler: Any) -> Iterator[Any]:
    """Its parts, and theirs."""
    for part in parts_of(scheduler):
        yield part
        yield from all_parts_of(part)


def epoch_of(scheduler: Any) -> int:
    """How often it has stepped; ChainedScheduler counts nothing itself."""
    epoch = vars(scheduler).get("last_epoch")
    if epoch is not None:
        return int(epoch)
    return max((epoch_of(part) for part in parts_of(scheduler)), default=0)


def is_over(scheduler: Any, optimizers: Sequence[torch.optim.Optimizer]) -> bool:
    """Whether a scheduler's optimizer is one of these, or a wrapper of one."""
    return any(
        found is optimizer
        for found in _optimizers_of(scheduler)
        for optimizer in optimizers
    )


def _optimizers_of(scheduler: Any) -> Iterator[Any]:
    optimizer = getattr(scheduler, "__dict__", {}).get("optimizer")
    for _ in range(_MOST_WRAPPERS):
        if optimizer is None:
            return
        yield optimizer
        inside = getattr(optimizer, "__dict__", {})
        optimizer = next((inside[name] for name in _KEPT_AS if name in inside), None)


def unwrapped(scheduler: Any) -> Any:
    """The scheduler in the wrapper of a framework, or itself.

    Accelerate and Lightning keep it as `scheduler`, a configuration under that key.
    """
    for _ in range(_MOST_WRAPPERS):
        if _is_scheduler(type(scheduler)) and "optimizer" in vars(scheduler):
            return scheduler
        if isinstance(scheduler, dict):
            inside = scheduler.get("scheduler")
        else:
            inside = getattr(scheduler, "__dict__", {}).get("scheduler")
        if inside is None:
            return scheduler
        scheduler = inside
    return scheduler


def schedulers_given(
    schedulers: Any, optimizer: torch.optim.Optimizer
) -> list[Any] | None:
    """The schedulers in the wrappers of frameworks; None: they are looked for.

    Raises:
        BadArgument: one is no scheduler, or one of another optimizer.
    """
    if schedulers is None:
        return None
    given = schedulers if isinstance(schedulers, list | tuple) else [schedulers]
    read = [unwrapped(each) for each in given]
    for each, scheduler in zip(given, read, strict=True):
        if not is_over(scheduler, [optimizer]):
            raise BadArgument(
                f"schedulers holds a {type(each).__name__} that is not over the "
                f"optimizer; LR schedulers of the very optimizer you pass were wanted; "
                f"leave schedulers out, then they are looked for."
            )
    return read


def all_optimizers(schedulers: Iterable[Any]) -> list[Any]:
    """Every optimizer and wrapper that these hold on to."""
    return [optimizer for each in schedulers for optimizer in _optimizers_of(each)]


def at_work() -> set[int]:
    """The ids of the objects of which a method is running on this thread.

    A scheduler in the middle of a step asks for the groups: what it has done so far is
    no news yet.
    """
    found = set()
    frame = sys._getframe(1)
    for _ in range(_MOST_FRAMES):
        code = frame.f_code
        if code.co_argcount:
            found.add(id(frame.f_locals.get(code.co_varnames[0])))
        if frame.f_back is None:
            break
        frame = frame.f_back
    return found


def overwrites(scheduler: Any) -> bool:
    """Whether it computes each rate anew, without a look at the one that it finds."""
    return getattr(type(scheduler), "get_lr", None) in _OVERWRITE


def goes_by_a_metric(scheduler: Any) -> bool:
    """Whether it lowers (and raises) the rate by what it is told of a loss."""
    return {"num_bad_epochs", "patience", "best"} <= vars(scheduler).keys() and (
        callable(getattr(type(scheduler), "_reduce_lr", None))
    )


def may_be_asked(scheduler: Any) -> bool:
    """Whether its functions can be called out of turn, and nobody would know.

    One that counts its calls, in a variable of its surroundings, would go wrong.
    """
    return all(
        _keeps_nothing(function)
        for each in (scheduler, *all_parts_of(scheduler))
        for value in vars(each).values()
        for function in (value if isinstance(value, list | tuple) else (value,))
    )


def _keeps_nothing(value: Any) -> bool:
    if isinstance(value, partial):
        inside = (value.func, *value.args, *value.keywords.values())
        return all(map(_keeps_nothing, inside))
    if not isinstance(value, FunctionType):
        return True  # plain data, or an object that is copied before it is called
    writes = {each.opname for each in dis.get_instructions(value)}
    if writes & {"STORE_GLOBAL", "STORE_DEREF", "DELETE_DEREF"}:
        return False
    return all(_is_fixed(cell) for cell in value.__closure__ or ())


def _is_fixed(cell: CellType) -> bool:
    try:
        value = cell.cell_contents
    except ValueError:
        return True  # nothing is in it
    if isinstance(value, FunctionType):
        return _keeps_nothing(value)
    return value is None or isinstance(value, int | float | str | tuple | ModuleType)


def name_of(scheduler: Any) -> str:
    """Its class, with its parts where it has any: `SequentialLR(LinearLR, StepLR)`."""
    parts = [name_of(part) for part in parts_of(scheduler)]
    name = type(scheduler).__name__
    return f"{name}({', '.join(parts)})" if parts else name


_known: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def _is_scheduler(kind: type) -> bool:
    known = _known.get(kind)
    if known is None:
        # Of other families, such as transformers' GreedyLR. The class alone is asked:
        # a lazy object may import half a library when an attribute of it is touched.
        known = _known[kind] = issubclass(kind, LRScheduler) or all(
            any(name in vars(each) for each in kind.__mro__) for name in _METHODS
        )
    return known
