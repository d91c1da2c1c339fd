"""Characters of a source that a terminal obeys, or that hide what the source says."""

from __future__ import annotations

import re

from dux_sandbox.findings import Finding

# Control characters but for tab, line ends and form feed; what ends a line for some
# readers and not for Python; what turns the direction of the text that follows.
_HIDDEN = re.compile(
    "[\x01-\x08\x0b\x0e-\x1f\x7f-\x9f\u2028\u2029"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def hidden_character(source: str) -> Finding | None:
    """The first of them, or None.

    >>> hidden_character("x = 1  # \\x1b[2J").message
    'a character that a terminal obeys or hides: U+001B'
    """
    hidden = _HIDDEN.search(source)
    if hidden is None:
        return None
    return Finding(
        "syntax",
        source.count("\n", 0, hidden.start()) + 1,
        f"a character that a terminal obeys or hides: U+{ord(hidden[0]):04X}",
        "leave it out, or write it as an escape in a string",
    )
