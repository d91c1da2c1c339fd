"""Functions that modules hold as attributes and hooks, for a copy of the modules.

`copy.deepcopy` takes a function for a constant, and a weak reference too. One that
reaches its module, such as `model.forward = torch.compile(model.forward)`,
`self.head = lambda x: self.out(x)` or a hook that calls another layer, would compute
with the weights of the original in the copy too.
"""

import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from types import CellType, FunctionType, MethodType, SimpleNamespace
from typing import Any

from torch import nn

Memo = dict[Any, Any]  # of `copy.deepcopy`: what was copied, by the id of the original
_Cached: Any = type(lru_cache(int))
_WEAK = (weakref.ReferenceType, *weakref.ProxyTypes)
_TABLES = (list, dict, OrderedDict)  # modules keep their hooks in the last
_OF_A_TABLE = (FunctionType, _Cached, MethodType, partial, *_WEAK)
_GRAPHED = "torch.cuda.graphs"  # of make_graphed_callables
_MOST = 1000  # things in a list that a function closes over: more are data


def follow_functions(model: nn.Module, memo: Memo) -> None:
    """Have the functions that the copy of `model` holds reach what is the copy's own.

    Compiled ones, and those that replay a CUDA graph, give way to what is inside them.

    >>> import copy
    >>> net, memo = nn.Linear(2, 1), {}
    >>> net.twice = lambda x, net=net: net(2 * x)
    >>> twin = copy.deepcopy(net, memo)
    >>> follow_functions(net, memo)
    >>> twin.twice.__defaults__[0] is twin
    True
    """
    for module in model.modules():
        copied = getattr(memo.get(id(module)), "__dict__", {})
        for name, held in vars(module).items():
            if name in copied:
                copied[name] = _own(held, copied[name], memo)


def _own(held: Any, copied: Any, memo: Memo) -> Any:
    """What the copy holds in place of `held`, of which `deepcopy` has made `copied`."""
    kind = type(held)
    if kind in _WEAK:  # of a proxy it copies what is behind
        return _weakly(held, memo, copied)
    if type(copied) is not kind:
        return copied
    if kind in (FunctionType, _Cached):
        return _followed(held, memo) if copied is held else copied
    if kind is MethodType:
        return MethodType(_followed(held.__func__, memo), copied.__self__)
    if kind is partial and len(held.args) == len(copied.args):
        given = map(partial(_own, memo=memo), held.args, copied.args)
        own = {
            k: _own(held.keywords.get(k), v, memo) for k, v in copied.keywords.items()
        }
        twin = partial(_own(held.func, copied.func, memo), *given, **own)
        vars(twin).update(vars(copied))
        return twin
    if kind in _TABLES and copied is not held:
        now = dict(_places(copied))
        for at, each in _places(held):
            if type(each) in _OF_A_TABLE and at in now:
                copied[at] = _own(each, now[at], memo)
    return copied


def _places(held: Any) -> Iterable[tuple[Any, Any]]:
    """What is in a list or a dictionary, each with where it is."""
    return list(held.items() if isinstance(held, dict) else enumerate(held))


def _follow_each(held: Iterable[tuple[Any, Any]], copied: Any, memo: Memo) -> None:
    for at, each in held:
        copied[at] = _followed(each, memo)


def _followed(value: Any, memo: Memo) -> Any:
    """What stands for `value` in the copy; itself where it reaches nothing copied."""
    if type(value) in _WEAK:
        return _weakly(value, memo, value)
    if id(value) in memo:
        return memo[id(value)]
    inside = _inside(value)
    if inside is not None:
        return _followed(inside, memo)
    if not _reaches(value, memo, set()):
        return value
    if isinstance(value, _Cached):
        again = lru_cache(**value.cache_parameters())
        return again(_followed(value.__wrapped__, memo))
    if isinstance(value, MethodType):
        return MethodType(value.__func__, _followed(value.__self__, memo))
    if isinstance(value, partial):
        named = {key: _followed(each, memo) for key, each in value.keywords.items()}
        given = (_followed(each, memo) for each in value.args)
        return partial(_followed(value.func, memo), *given, **named)
    if isinstance(value, FunctionType):
        return _made_anew(value, memo)
    if isinstance(value, tuple):
        return tuple(_followed(each, memo) for each in value)
    # It may hold itself.
    if isinstance(value, SimpleNamespace):
        space = memo[id(value)] = SimpleNamespace(**vars(value))
        _follow_each(_places(vars(value)), vars(space), memo)
        return space
    twin = memo[id(value)] = type(value)(value)
    _follow_each(_places(value), twin, memo)
    return twin


def _weakly(value: Any, memo: Memo, other: Any) -> Any:
    """A weak reference to what stands for its object in the copy, or the `other`."""
    twin = memo.get(id(_target(value)))
    if twin is None:
        return other
    proxy = type(value) in weakref.ProxyTypes
    return weakref.proxy(twin) if proxy else weakref.ref(twin)


def _target(value: Any) -> Any:
    """What a weak reference refers to; None where that is gone."""
    if type(value) not in weakref.ProxyTypes:
        return value()
    try:
        return value.__reduce_ex__.__self__
    except ReferenceError:
        return None


def _made_anew(function: FunctionType, memo: Memo) -> FunctionType:
    """The function with what it reaches followed; it may reach itself."""
    cells = tuple(CellType() for _ in function.__closure__ or ())
    known = dict(function.__globals__)
    twin = FunctionType(function.__code__, known, function.__name__, None, cells)
    memo[id(function)] = twin
    vars(twin).update(vars(function))
    for mine, cell in zip(cells, function.__closure__ or (), strict=True):
        for held in _contents(cell):
            mine.cell_contents = _followed(held, memo)
    for name in function.__code__.co_names:
        if name in known and not isinstance(known[name], FunctionType):
            known[name] = _followed(known[name], memo)
    given, named = function.__defaults__, function.__kwdefaults__
    if given is not None:
        twin.__defaults__ = tuple(_followed(each, memo) for each in given)
    if named is not None:
        twin.__kwdefaults__ = {k: _followed(each, memo) for k, each in named.items()}
    return twin


def _reaches(value: Any, memo: Memo, seen: set[int]) -> bool:
    """Whether it uses something that was copied."""
    if type(value) in _WEAK:
        return id(_target(value)) in memo
    if id(value) in memo:
        return True
    if id(value) in seen:
        return False
    seen.add(id(value))
    return any(_reaches(each, memo, seen) for each in _used(value))


def _used(value: Any) -> Iterator[Any]:
    """What a function was given with its making; of globals no other functions.

    And what is in a list, tuple, dictionary or namespace that it was given.
    """
    if isinstance(value, MethodType):
        yield value.__self__
    elif isinstance(value, _Cached):
        yield value.__wrapped__
    elif isinstance(value, SimpleNamespace):
        yield from vars(value).values()
    elif isinstance(value, partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif type(value) in (*_TABLES, tuple) and len(value) <= _MOST:
        yield from value.values() if isinstance(value, dict) else value
    elif isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            yield from _contents(cell)
        yield from (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        known = value.__globals__
        names = (each for each in value.__code__.co_names if each in known)
        yield from (known[n] for n in names if not isinstance(known[n], FunctionType))


def _contents(cell: CellType) -> Iterator[Any]:
    try:
        yield cell.cell_contents
    except ValueError:  # nothing was put into it yet
        return


def _inside(value: Any) -> Any:
    """The function that a compiled or graphed one stands for, or None."""
    if not isinstance(value, FunctionType):
        return None
    if value.__module__ == _GRAPHED:
        names = value.__code__.co_freevars
        held = dict(zip(names, value.__closure__ or (), strict=True))
        return held["orig_fwd"].cell_contents if "orig_fwd" in held else None
    return getattr(value, "_torchdynamo_orig_callable", None)
