"""Functions that modules hold as attributes, for a copy of the modules.

`copy.deepcopy` takes a function for a constant. One that reaches its module, such as
`model.forward = torch.compile(model.forward)` or `self.head = lambda x: self.out(x)`,
would compute with the weights of the original in the copy too.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

from torch import nn

Memo = dict[Any, Any]  # of `copy.deepcopy`: what was copied, by the id of the original
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
            if isinstance(held, FunctionType) and copied.get(name) is held:
                copied[name] = _followed(held, memo)
            elif isinstance(held, MethodType) and name in copied:
                function = _followed(held.__func__, memo)
                copied[name] = MethodType(function, copied[name].__self__)
            elif type(held) in (list, dict) and memo.get(id(held), held) is not held:
                functions = [
                    each for each in _places(held) if isinstance(each[1], FunctionType)
                ]
                _follow_each(functions, memo[id(held)], memo)


def _places(held: Any) -> Iterable[tuple[Any, Any]]:
    """What is in a list or a dictionary, each with where it is."""
    return list(held.items() if isinstance(held, dict) else enumerate(held))


def _follow_each(held: Iterable[tuple[Any, Any]], copied: Any, memo: Memo) -> None:
    for at, each in held:
        copied[at] = _followed(each, memo)


def _followed(value: Any, memo: Memo) -> Any:
    """What stands for `value` in the copy; itself where it reaches nothing copied."""
    if id(value) in memo:
        return memo[id(value)]
    inside = _inside(value)
    if inside is not None:
        return _followed(inside, memo)
    if not _reaches(value, memo, set()):
        return value
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
    twin = memo[id(value)] = type(value)(value)  # it may hold itself
    _follow_each(_places(value), twin, memo)
    return twin


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
    if id(value) in memo:
        return True
    if id(value) in seen:
        return False
    seen.add(id(value))
    return any(_reaches(each, memo, seen) for each in _used(value))


def _used(value: Any) -> Iterator[Any]:
    """What a function was given with its making; of globals no other functions.

    And what is in a list, tuple or dictionary that it was given.
    """
    if isinstance(value, MethodType):
        yield value.__self__
    elif isinstance(value, partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif type(value) in (list, tuple, dict) and len(value) <= _MOST:
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
