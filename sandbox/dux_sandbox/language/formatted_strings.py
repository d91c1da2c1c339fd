"""f-strings, read as Python reads them: text is text, and braces hold expressions.

Up to Python 3.11 an f-string ends where any string would, at the first quote of its
own kind, and what is in its braces is read afterwards. From 3.12 on (PEP 701) braces
open a piece of code, in which strings of any kind of quotes may stand, f-strings with
braces of their own among them.
"""

import re
from dataclasses import dataclass

from dux_sandbox.findings import Finding
from dux_sandbox.language.token_count import TokenCount


@dataclass(frozen=True)
class Nesting:
    """How f-strings are read: whether they may hold their own kind of quotes."""

    own_quotes: bool

    # No `(...)*+`: up to Python 3.11.4 a possessive group ends too soon (gh-106052).
    START = r"(?i:f|fr|rf|t|tr|rt)(?:'''|\"\"\"|'|\")"
    STRING = r"""(?i:b|r|u|br|rb|)(?:
        '''(?>(?:[^\\']++|\\.|'(?!''))*)'''
      | \"\"\"(?>(?:[^\\"]++|\\.|"(?!""))*)\"\"\"
      | '(?>(?:[^\\'\n\r]|\\(?:\r\n|.))*)'
      | "(?>(?:[^\\"\n\r]|\\(?:\r\n|.))*)")"""


_STRING = re.compile(Nesting.STRING, re.VERBOSE | re.DOTALL)
# The literal parts. A backslash takes the next character with it, braces apart.
_PIECE = re.compile(
    r"""
    (?P<text>(?>(?:[^\\{}'"\r\n]|\\(?:\r\n|[^{}N\r]|\r))+))
  | (?P<named>\\N(?>(?:\{[^{}'"\r\n]*+\}?+)?))
  | (?P<backslash>\\)
  | (?P<newline>\r\n|\r|\n)
  | (?P<twice>\{\{|\}\})
  | (?P<open>\{)
  | (?P<close>\})
  | (?P<quote>['"])
    """,
    re.VERBOSE | re.DOTALL,
)
# What is inside the braces: as in `before_parsing`, colons one by one.
_CODE = re.compile(
    r"""
    [ \t\f]*+(?:
    (?P<word>\w++)(?!['"])
  | (?P<newline>\r\n|\r|\n)
  | (?P<open>[(\[{])
  | (?P<close>[)\]}])
  | (?P<colon>:)
  | (?P<prefix_operator>[-+~*!])
  | (?P<comment>\#[^\n\r]*+)
  | (?P<formatted>FORMATTED)
  | (?P<string>STRING)
  | (?P<name>\w++)
  | (?P<continued>\\(?:\r\n|\r|\n))
  | (?P<other>[^ \t\f])
    )
    """.replace("FORMATTED", Nesting.START).replace("STRING", Nesting.STRING),
    re.VERBOSE | re.DOTALL,
)


@dataclass
class _Text:
    """Inside the literal part of an f-string, or of a format after a colon."""

    quotes: str
    raw: bool
    end: int  # where it ends at the latest
    is_format: bool = False


@dataclass
class _Code:
    """Inside the braces of an f-string."""

    depth: int  # brackets open, these braces among them
    end: int


class _Refused(Exception):
    """Python refuses the f-string; the parser will say why."""


def pass_over(
    text: str, start: re.Match[str], count: TokenCount, nesting: Nesting
) -> tuple[Finding | None, int | None]:
    """Count an f-string.

    Args:
        text: the whole source.
        start: where it begins: its prefix and its quotes.
        count: what was counted before; changed.
        nesting: how f-strings are read.

    Returns:
        A limit that is passed over, or None; and where the f-string ends, or None
        where it does not: Python will refuse it, it seems.
    """
    end = None
    if not nesting.own_quotes:
        whole = _STRING.match(text, start.end() - _quotes_of(start))
        end = whole.end() if whole is not None else len(text)
    depth = count.depth
    reader = _Reader(text, count, nesting)
    try:
        return reader.read(start)
    except _Refused:
        count.depth = depth
        return None, end


def _quotes_of(start: re.Match[str]) -> int:
    """How many quotes an f-string begins with: one or three."""
    return len(start.group("formatted").lstrip("fFrRtT"))


class _Reader:
    def __init__(self, text: str, count: TokenCount, nesting: Nesting) -> None:
        self._text = text
        self._count = count
        self._nesting = nesting
        self._at = 0
        self._around: list[_Text | _Code] = []

    def read(self, start: re.Match[str]) -> tuple[Finding | None, int | None]:
        """See `pass_over`. Raises _Refused."""
        found = self._enter(start, len(self._text))
        while found is None and self._around:
            inner = self._around[-1]
            if isinstance(inner, _Text):
                found = self._piece(inner)
            else:
                found = self._token(inner)
        return found, None if found is not None else self._at

    def _enter(self, start: re.Match[str], end: int) -> Finding | None:
        """Begin an f-string."""
        opening = start.group("formatted")
        quotes = opening.lstrip("fFrRtT")
        self._at = start.end()
        if not self._nesting.own_quotes:
            whole = _STRING.match(self._text, self._at - len(quotes), end)
            if whole is None:
                raise _Refused
            end = whole.end() - len(quotes)
        self._around.append(_Text(quotes, "r" in opening.lower(), end))
        return self._count.token("string", opening)

    def _leave(self, inner: _Text) -> None:
        """End an f-string, or find that it does not end."""
        if inner.is_format:
            raise _Refused
        self._around.pop()
        self._at += len(inner.quotes)

    def _piece(self, inner: _Text) -> Finding | None:
        match = _PIECE.match(self._text, self._at, inner.end)
        if match is None:
            if self._nesting.own_quotes:
                raise _Refused  # the end of the source
            self._leave(inner)
            return None
        kind, value = match.lastgroup, match.group()
        if kind == "quote" and self._nesting.own_quotes:
            if self._text.startswith(inner.quotes, self._at):
                self._leave(inner)
                return None
        if kind == "twice" and inner.is_format:
            kind, value = "open" if value[0] == "{" else "close", value[0]
        elif kind == "named" and inner.raw:
            value = value[:2]
        self._at += len(value)
        if kind == "open":
            self._around.append(_Code(self._count.depth + 1, inner.end))
            return self._count.token("open", value)
        if kind == "close":
            if not inner.is_format:
                raise _Refused
            self._around.pop()
            self._around.pop()
            return self._count.token("close", value)
        if kind == "newline" and self._nesting.own_quotes and len(inner.quotes) == 1:
            if not inner.is_format:
                raise _Refused
            self._around.pop()  # 3.12 reads on as code
        self._count.lines_of(value)
        return None

    def _token(self, inner: _Code) -> Finding | None:
        match = _CODE.match(self._text, self._at, inner.end)
        if match is None:
            raise _Refused
        kind = match.lastgroup or "other"
        value = match.group(kind)
        old = not self._nesting.own_quotes
        if kind == "formatted":
            return self._enter(match, inner.end)
        if old and (kind == "comment" or "\\" in value):
            raise _Refused
        if kind == "other" and value in "'\"":
            raise _Refused
        self._at = match.end()
        if kind in ("comment", "newline", "continued"):
            self._count.lines_of(value)
            return None
        outermost = self._count.depth == inner.depth
        if kind == "close" and outermost:
            if value != "}":
                raise _Refused
            self._around.pop()
        elif kind == "colon" and outermost:
            around = self._around[-2]
            assert isinstance(around, _Text)
            self._around.append(_Text(around.quotes, around.raw, around.end, True))
        if kind == "string":
            self._count.lines_of(value)
        return self._count.token(kind, value)
