"""Which of torch's functions take a number that may be another one at each step.

They compute with it. The others, as `chunk` and `matrix_power`, may go another way for
each number: what they are given is the number that it is now, which then must stay.
"""

from collections.abc import Iterator
from typing import Any

from dux_sandbox.recorded.aten_names import TRANSLATIONS
from dux_sandbox.recorded.drawing import FILLING
from dux_sandbox.recorded.operations import TABLE

_OPERATORS = """
add sub mul div truediv floordiv mod pow and or xor eq ne lt le gt ge setitem
""".split()
_OTHER_NAMES = """
divide multiply subtract true_divide float_power clip clamp greater greater_equal less
less_equal not_equal fill where full new_full full_like index_put index_fill scatter
vector_norm normalize std_mean relu6 hardtanh softplus
""".split()


def _names() -> Iterator[str]:
    yield from _OTHER_NAMES
    yield from FILLING
    for name in _OPERATORS:
        yield from (name, f"r{name}", f"i{name}")
    for name, translation in TRANSLATIONS.items():
        if set("NA") & set(TABLE[translation.name].signature):
            yield name


_NAMES = frozenset(_names())


def takes_numbers(function: Any) -> bool:
    """Whether it computes with any number that it is given, in one way for all."""
    name = str(getattr(function, "__name__", ""))
    name = name.removeprefix("_foreach_")
    return name in _NAMES or name.strip("_") in _NAMES
