"""The guards under which a rule is recorded: those of any rule, for symbols as well.

Nothing more is allowed than elsewhere; `float`, `min`, `math` and their like take
symbols where they take numbers.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from dux_sandbox.language import python_names
from dux_sandbox.language.torch_names import global_of
from dux_sandbox.recorded.asides import Asides
from dux_sandbox.recorded.number_operations import MEANINGS, TWO
from dux_sandbox.recorded.symbols import SYMBOLS, Symbol
from dux_sandbox.recorded.texts import percent_of, showing
from dux_sandbox.runtime import comparing, lookups, plain_builtins
from dux_sandbox.runtime.facade import PATHS
from dux_sandbox.runtime.guards import Guards
from dux_sandbox.runtime.iteration import bounded
from dux_sandbox.runtime.standins import Namespace, StandIn, contents_of, real_class


def _number(value: Any) -> Any:
    """A tensor's number; anything else as it is."""
    return value.item() if isinstance(value, torch.Tensor) else value


def _plain(value: Any) -> Any:
    """The number that a tensor's or a symbol's is, which then must stay."""
    value = _number(value)
    return value.plain() if isinstance(value, Symbol) else value


def _float(value: Any = 0.0) -> Any:
    value = _number(value)
    return value.apply("float", value) if isinstance(value, Symbol) else float(value)


def _int(value: Any = 0, *base: Any) -> Any:
    value = _number(value)
    if isinstance(value, Symbol):
        return value.apply("int", value)
    return int(value, *base)


def _isinstance(value: Any, asked: Any) -> bool:
    if isinstance(value, Symbol):
        kinds = real_class(asked)
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        mine = _type_of(value)
        return any(isinstance(each, type) and issubclass(mine, each) for each in kinds)
    found: bool = plain_builtins.BUILTINS["isinstance"](value, asked)
    return found


def _type_of(value: Symbol) -> type:
    return int if value.settled().kind == "int" else float


def _typed(
    plain: Callable[[Any], Any], own: Mapping[type, Any]
) -> Callable[[Any], Any]:
    """`type`: of a symbol that of the number; what has another name here by that."""

    def kind_of(value: Any) -> Any:
        kind = _type_of(value) if isinstance(value, Symbol) else type(value)
        return own[kind] if kind in own else plain(value)

    return kind_of


def _extreme(name: str) -> Callable[..., Any]:
    plain = plain_builtins.BUILTINS[name]

    def find(*values: Any, key: Any = None, **default: Any) -> Any:
        listed = list(bounded(values[0])) if len(values) == 1 else list(values)
        if key is not None or not any(isinstance(each, Symbol) for each in listed):
            return plain(*values, key=key, **default)
        found = listed[0]
        for each in listed[1:]:
            one = found if isinstance(found, Symbol) else each
            if isinstance(one, Symbol) and _no_booleans(found, each):
                found = one.apply(name, found, each)
            else:
                found = plain(found, each)
        return found

    return find


def _ordered(values: list[Any], key: Any, reverse: Any) -> list[Any]:
    """`comparing.ordered`; what comes out of symbols hangs on no branch."""
    kinds = set(map(type, values))
    if key is not None or not kinds & SYMBOLS or not kinds <= SYMBOLS | {int, float}:
        return comparing.ordered(values, key, reverse)
    one = next(each for each in values if isinstance(each, Symbol))
    places = range(len(values))
    return [one.ranked(values, rank=at, reverse=bool(reverse)) for at in places]


def _sorted(items: Any, *, key: Any = None, reverse: Any = False) -> list[Any]:
    return _ordered(list(bounded(items)), key, reverse)


def _no_booleans(*values: Any) -> bool:
    """Whether they are numbers of which one symbol can stand for the least: `is True`
    asks for a boolean."""
    return all(
        isinstance(each, Symbol) or type(each) in (int, float) for each in values
    )


def _function_of_math(name: str, theirs: Callable[..., Any]) -> Callable[..., Any]:
    ours = {"pow": "powf"}.get(name, name)

    def compute(*numbers: Any, **named: Any) -> Any:
        if named:
            named = {key: _plain(each) for key, each in named.items()}
            return theirs(*map(_plain, numbers), **named)
        if not any(isinstance(each, (Symbol, torch.Tensor)) for each in numbers):
            return theirs(*numbers)
        known = [_number(each) for each in numbers]
        for each in known:
            if isinstance(each, Symbol):
                if ours in MEANINGS and len(known) <= (2 if ours in TWO else 1):
                    return each.apply(ours, *known)
                if name == "log" and len(known) == 2:
                    return each.apply("log", *known)
                if name == "hypot" and len(known) == 2:
                    return each.apply("hypot", *known)
                return theirs(*map(_plain, known))
        return theirs(*known)

    return compute


MATH: dict[str, Any] = {
    name: _function_of_math(name, value) if callable(value) else value
    for name, value in plain_builtins.MATH.items()
} | {name: plain_builtins.MATH[name] for name in ("prod", "fsum", "dist")}
"""`math` as a recorded rule gets it."""


def square_root(value: Any) -> Any:
    """`_dispatch_sqrt`, by which optimizers in torch's style take roots of numbers."""
    return value.sqrt() if isinstance(value, torch.Tensor) else MATH["sqrt"](value)


def _compare(name: str, left: Any, right: Any) -> Any:
    if name in ("in", "not in") and isinstance(left, Symbol):
        found = any(comparing.compare("==", left, each) for each in bounded(right))
        return found is (name == "in")
    return comparing.compare(name, left, right)


def _seeding(generator: torch.Generator) -> Callable[[Any], torch.Generator]:
    def manual_seed(seed: Any) -> torch.Generator:
        if isinstance(seed, Symbol):
            seed.tape.seed_generator(generator, seed.value)
            return generator
        return generator.manual_seed(seed)

    return manual_seed


_OF_NUMBERS = frozenset(python_names.METHODS["int"] + python_names.METHODS["float"])


def _attribute(name: str) -> Callable[[Symbol], Any]:
    """What a number has by that name: of the number that it is now."""

    def read(value: Symbol) -> Any:
        if name == "is_integer":
            return lambda: value.apply("mod", value, 1) == 0
        return getattr(value.settled().plain(), name)

    return read


class RecordingGuards(Guards):
    """`Guards` for a rule whose numbers are symbols.

    Attributes:
        gradient_read: whether the gradient of any tensor has been asked for, since
            this was last set to False.
    """

    def __init__(self, asides: Asides) -> None:
        """Of one source, as `Guards` are."""
        super().__init__()
        self.gradient_read = False
        self._names[torch.nn.Parameter]["grad"] = self._gradient  # any tensor's
        self._asides = asides
        self.context.numbers = SYMBOLS
        self._names[torch.Generator]["manual_seed"] = _seeding
        self._names[list]["sort"] = self._sorting
        for each in SYMBOLS:
            self._names[each] = {name: _attribute(name) for name in _OF_NUMBERS}

    def _gradient(self, target: torch.Tensor) -> torch.Tensor | None:
        self.gradient_read = True
        return target.grad

    def _sorting(self, target: list[Any]) -> Callable[..., None]:
        def sort(*, key: Any = None, reverse: Any = False) -> None:
            self.context.check_list(target)
            target[:] = _ordered(list(target), key, reverse)

        return sort

    def _builtins(self) -> dict[str, Any]:
        found = super()._builtins()
        found["float"] = StandIn(float, _float)
        found["int"] = StandIn(int, _int)
        found["isinstance"] = _isinstance
        found["min"], found["max"] = _extreme("min"), _extreme("max")
        found["sorted"] = _sorted
        plain = found["type"]
        lookups.as_hints.discard(plain)
        for name in ("repr", "format"):
            found[name] = showing(found[name], self._asides)
        found["str"] = StandIn(str, showing(found["str"], self._asides))
        own: dict[type, Any] = {
            each: found[each.__name__] for each in (int, float, str)
        }
        found["type"] = _typed(plain, own)
        lookups.as_hints.add(found["type"])
        return found

    def globals(self) -> dict[str, Any]:
        """A fresh dict of globals for one source, whole."""
        found = super().globals()
        found["@compare"] = _compare
        for name in ("@format", "@format_literal"):
            found[name] = showing(found[name], self._asides)
        found["@mod"] = percent_of(found["@mod"], self._asides)
        inside = dict(contents_of(PATHS["math"]))
        inside |= {name: MATH[name] for name in inside if name in MATH}
        found[global_of("math")] = Namespace("math", inside)
        for name, value in inside.items():
            found[global_of(f"math.{name}")] = value
        found[global_of("torch.optim.optimizer._dispatch_sqrt")] = square_root
        return found
