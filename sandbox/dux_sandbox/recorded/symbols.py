"""Numbers of a rule that is recorded: they count as Python's, and write it down.

A symbol knows what it is now (an option, a step count, what was computed of them) or
does not (a number out of a tensor: there are no tensors here). Asked for a branch, it
leaves a guard; asked for a plain number, it leaves a guard that it stays that number,
or cannot be recorded where nobody knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch

from dux_sandbox.recorded.number_operations import (
    FAILS,
    MEANINGS,
    NEVER_FAIL,
    TWO,
    Number,
    kind_of_result,
    ranked,
)
from dux_sandbox.recorded.tape import Tape

_PLAIN = (float, int, bool)


class Symbol:
    """What both kinds of symbols do; made by `symbol`."""

    tape: Tape
    value: int
    hint: Number | None
    kind: str

    def plain(self) -> Any:
        """The number itself, with a guard that it stays what it is.

        Raises:
            Unrecordable: nobody knows it yet.
        """
        if self.hint is None:
            raise self.tape.refuse(
                "makes a plain number (an index, a size, a key, a text) of what it "
                "read from a tensor"
            )
        if self.hint == self.hint:
            same = self.tape.number("number.eq", self.value, self._of(self.hint))
            self.tape.guard(same, True, True)
        else:
            self.tape.guard(self.tape.number("number.isnan", self.value), True, True)
        return self.hint

    @property
    def node(self) -> Any:
        """What torch asks its own symbols for, where it knows no other way.

        Raises:
            Unrecordable: always; an `AttributeError` the rule might catch.
        """
        raise self.tape.refuse("computes with a number as no program can")

    def _of(self, other: Any) -> int:
        return other.value if isinstance(other, Symbol) else self.tape.constant(other)

    def apply(self, name: str, *numbers: Any) -> Any:
        """The result of an operation on numbers of which this is one."""
        values = [self._of(each) for each in numbers]
        hints = [each.hint if isinstance(each, Symbol) else each for each in numbers]
        fails = self.tape.asides.catches and name not in NEVER_FAIL
        if fails:
            self._ask_whether_it_fails(name, numbers, hints)
        known = None
        if None not in hints:
            known = MEANINGS[name](*hints)
        kind = kind_of_result(name, _kinds_of(numbers))
        made = self.tape.number(f"number.{name}", *values)
        if kind == "bool":
            guess = _guess(name, values)
            told = None if known is None else bool(known)
            return self.tape.guard(made, told, guess)
        if fails and name not in FAILS:
            # Nothing may need it but the `except` that it does not come to.
            told = None if known is None else known == known
            self.tape.guard(self.tape.number("number.eq", made, made), told, True)
        return symbol(self.tape, made, known, kind)

    def _ask_whether_it_fails(
        self, name: str, numbers: Sequence[Any], hints: Sequence[Any]
    ) -> None:
        """Guard that it does as it does now, in a rule that may catch what is raised.

        Raises:
            ArithmeticError, ValueError: it fails.
        """
        if name in FAILS and len(numbers) == (2 if name in TWO else 1):
            compared, at, limit = FAILS[name]
            asked = self.tape.number(
                f"number.{compared}", self._of(numbers[at]), self._of(limit)
            )
            told = None if hints[at] is None else MEANINGS[compared](hints[at], limit)
            if self.tape.guard(asked, told, False):
                MEANINGS[name](*[0 if each is None else each for each in hints])
                _fail(name)
        elif None not in hints:
            try:
                MEANINGS[name](*hints)
            except (ArithmeticError, ValueError):
                for each in numbers:
                    if isinstance(each, Symbol):
                        each.plain()
                raise

    def settled(self) -> Symbol:
        """Itself, known to be a float or an int; where it may be either, by a guard."""
        if self.kind != "number":
            return self
        known = None if self.hint is None else isinstance(self.hint, int)
        asked = self.tape.number("number.is_int", self.value)
        kind = "int" if self.tape.guard(asked, known, False) else "float"
        same = self.tape.number(f"number.{kind}", self.value)
        return symbol(self.tape, same, self.hint, kind)

    def ranked(self, numbers: Sequence[Any], *, rank: int, reverse: bool) -> Any:
        """What stands at a place of these numbers, this among them, when sorted."""
        values = [self._of(each) for each in numbers]
        hints = [each.hint if isinstance(each, Symbol) else each for each in numbers]
        told = [each for each in hints if each is not None]
        known = None
        if len(told) == len(hints):
            known = ranked(*told, rank=rank, reverse=reverse)
        kind = kind_of_result("ranked", _kinds_of(numbers))
        made = self.tape.emit("number.ranked", values, rank=rank, reverse=reverse)
        return symbol(self.tape, made, known, kind)

    def __bool__(self) -> bool:
        known = None if self.hint is None else bool(self.hint)
        asked = self.tape.number("number.bool", self.value)
        return self.tape.guard(asked, known, True)

    def __int__(self) -> int:
        return int(self.plain())

    def __index__(self) -> int:
        found = self.settled().plain()
        if type(found) is not int:
            raise TypeError("'float' object cannot be interpreted as an integer")
        return found

    def __float__(self) -> float:
        return float(self.plain())

    def __hash__(self) -> int:
        return hash(self.plain())

    def __str__(self) -> str:
        return str(self.settled().plain())

    def __format__(self, form: str) -> str:
        return format(self.settled().plain(), form)

    __repr__ = __str__

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    def __round__(self, digits: Any = None) -> Any:
        if digits is None:
            return self.apply("round_to_int", self)
        return self.apply("round", self, digits)


def _kinds_of(numbers: Sequence[Any]) -> list[str]:
    return [
        each.kind if isinstance(each, Symbol) else type(each).__name__
        for each in numbers
    ]


def _fail(name: str) -> NoReturn:
    """Raise what Python does where `FAILS` is true of a number that nobody knows."""
    if name in ("div", "floordiv", "mod"):
        raise ZeroDivisionError("division by zero")
    raise ValueError("math domain error")


def _guess(name: str, values: list[int]) -> bool:
    """What is taken for the answer until the trainer has told it."""
    if name in ("eq", "ne") and values[0] == values[1]:
        return name == "eq"
    return name in ("isfinite", "ne", "gt")


def _left(name: str) -> Callable[[Any, Any], Any]:
    def operate(self: Symbol, other: Any) -> Any:
        if not isinstance(other, (Symbol, *_PLAIN)):
            return NotImplemented
        return self.apply(name, self, other)

    return operate


def _right(name: str) -> Callable[[Any, Any], Any]:
    def operate(self: Symbol, other: Any) -> Any:
        if not isinstance(other, (Symbol, *_PLAIN)):
            return NotImplemented
        return self.apply(name, other, self)

    return operate


def _alone(name: str) -> Callable[[Any], Any]:
    def operate(self: Symbol) -> Any:
        return self.apply(name, self)

    return operate


_OPERATORS = {
    **{each: each for each in ("add", "sub", "mul", "floordiv", "mod", "pow")},
    **{each: each for each in ("and", "or", "xor", "rshift")},
    "truediv": "div",
}
for _name, _operation in _OPERATORS.items():
    setattr(Symbol, f"__{_name}__", _left(_operation))
    setattr(Symbol, f"__r{_name}__", _right(_operation))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Symbol, f"__{_name}__", _left(_name))
for _name in ("neg", "pos", "abs", "ceil", "floor", "trunc"):
    setattr(Symbol, f"__{_name}__", _alone(_name))


class SymbolicFloat(Symbol, torch.SymFloat):
    """A symbol that torch's functions take where they take a float."""

    def __init__(self) -> None:
        """Without a node: `tracing` takes symbols out before torch looks inside."""


class SymbolicInt(Symbol, torch.SymInt):
    """A symbol that torch's functions take where they take an int."""

    def __init__(self) -> None:
        """As of `SymbolicFloat`."""


def symbol(tape: Tape, value: int, hint: Number | None, kind: str) -> Symbol:
    """The symbol of a value of the tape.

    Args:
        hint: what it is now; None where nobody knows.
        kind: "float", "int" or "number"; a boolean is never a symbol.
    """
    made = SymbolicInt() if kind == "int" else SymbolicFloat()
    made.tape, made.value, made.hint, made.kind = tape, value, hint, kind
    return made


SYMBOLS: frozenset[type] = frozenset([SymbolicFloat, SymbolicInt])
