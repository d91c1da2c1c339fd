"""What comes from a disk or a server, held to its type; a fault is one sentence."""

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from dux_sandbox.findings import printable

_SHOWN = 60
_Made = TypeVar("_Made")


def read_back(
    adapter: TypeAdapter[_Made], value: Any, *, remedy: str = "restore the file"
) -> _Made:
    """`value` as the adapter's type.

    Raises:
        ValueError: it is not of it: what was found, what was wanted, what to do.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ValueError(fault_in(error, remedy=remedy)) from None


def fault_in(error: ValidationError, *, remedy: str = "restore the file") -> str:
    """The first thing that is wrong: what was found, what was wanted, what to do.

    >>> from pydantic import TypeAdapter
    >>> try:
    ...     TypeAdapter(dict[str, int]).validate_python({"seed": "x"})
    ... except ValidationError as error:
    ...     fault_in(error)
    "seed is 'x'; a valid integer was wanted; restore the file"
    """
    first = error.errors(include_url=False)[0]
    place = printable(".".join(map(str, first["loc"])))[:_SHOWN] or "it"
    wanted = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{place} is missing; it was wanted; {remedy}"
    if first["type"].startswith("int_parsing"):
        wanted = "a valid integer"
    found = printable(repr(first["input"])[: 4 * _SHOWN])
    found = found if len(found) <= _SHOWN else found[: _SHOWN - 1] + "…"
    return f"{place} is {found}; {printable(wanted)[:200]} was wanted; {remedy}"
