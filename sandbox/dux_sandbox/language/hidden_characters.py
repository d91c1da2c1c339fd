"""Characters of a source that a terminal obeys, or that hide what the source says."""

import codecs
import re

from dux_sandbox.findings import Finding

# Control characters but for tab, line ends and form feed; what ends a line for some
# readers and not for Python; what turns the direction of the text that follows.
_HIDDEN = re.compile(
    "[\x01-\x08\x0b\x0e-\x1f\x7f-\x9f\u2028\u2029"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)

# A comment in one of the first two lines that says how Python has to decode the file.
_CODING = re.compile(r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.ASCII)
_LINE_END = re.compile(r"\r\n|\r|\n")
_UTF_8 = frozenset(["utf-8", "utf-8-sig"])
# What is ASCII in UTF-8 is the same text in these.
_SAME_ASCII = frozenset(
    """ascii iso8859-1 iso8859-2 iso8859-15 cp1250 cp1251 cp1252 koi8-r gb2312 gbk big5
    euc_jp euc_kr""".split()
)


def hidden_character(source: str) -> Finding | None:
    """The first of them, or None; a coding that makes it another text as well.

    >>> hidden_character("x = 1  # \\x1b[2J").message
    'a character that a terminal obeys or hides: U+001B'
    """
    hidden = _HIDDEN.search(source)
    if hidden is None:
        return _other_coding(source)
    return Finding(
        "syntax",
        source.count("\n", 0, hidden.start()) + 1,
        f"a character that a terminal obeys or hides: U+{ord(hidden[0]):04X}",
        "leave it out, or write it as an escape in a string",
    )


def _other_coding(source: str) -> Finding | None:
    """A declared coding in which Python would read another text than this one.

    In UTF-7 or unicode_escape a comment can hold a line end, and code after it.
    """
    for line, text in enumerate(_LINE_END.split(source, maxsplit=2)[:2], 1):
        declared = _CODING.match(text)
        if declared is None:
            continue
        try:
            name = codecs.lookup(declared[1]).name
        except LookupError:
            continue  # "# encoding: none" is talk, or Python refuses the file
        if name in _UTF_8 or (name in _SAME_ASCII and source.isascii()):
            continue
        return Finding(
            "syntax",
            line,
            f"the file says that it is {declared[1][:40]} and no UTF-8: Python would "
            f"read another text than this one",
            "save it as UTF-8, and leave that comment out",
        )
    return None
