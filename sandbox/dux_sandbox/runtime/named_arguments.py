"""Arguments by name, in the order in which the checks of sizes want them."""

from __future__ import annotations

from typing import Any

# torch takes NumPy's names for its own, in any function.
_OF_NUMPY = {"a": "input", "axis": "dim", "x": "input"}
# What torch calls its first argument; none of these is the name of another one.
_FIRST = frozenset("A LU input self tensors x1".split())
_PLACES = {
    **dict.fromkeys(_FIRST, 0),
    # The first factor of a product that is added to something, and what may be either.
    **dict.fromkeys("batch1 mat mat1 tensor".split(), 1),
    **dict.fromkeys("B b batch2 mat2 other pivots vec weight x2".split(), 2),
}
_FIRST_OR_SECOND = _FIRST | {"tensor"}
_TOLD = _PLACES.keys() | _OF_NUMPY.keys()


def in_order(
    arguments: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What is called, as it would be by torch's names and with tensors in their places.

    `torch.mm(mat2=b, input=a)` multiplies a by b, whatever comes first in the call.

    >>> in_order((), {"mat2": "b", "input": "a"})
    (('a',), {'mat2': 'b'})
    >>> in_order(("a",), {"axis": 0, "mat2": "b", "mat1": "c"})
    (('a',), {'mat1': 'c', 'mat2': 'b', 'dim': 0})
    """
    if _TOLD.isdisjoint(options):
        return arguments, options
    named = {_OF_NUMPY.get(name, name): value for name, value in options.items()}
    placed = dict(sorted(named.items(), key=_place))
    first = next(iter(placed))
    if not arguments and first in _FIRST_OR_SECOND:
        arguments = (placed.pop(first),)
    return arguments, placed


def _place(option: tuple[str, Any]) -> int:
    return _PLACES.get(option[0], len(_PLACES))
