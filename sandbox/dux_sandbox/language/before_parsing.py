"""Size limits on a source before it is parsed: the parser itself can be attacked."""

from __future__ import annotations

import re

from dux_sandbox.findings import Finding
from dux_sandbox.language import vocabulary

# A lexer good enough to count: strings and comments are opaque, all else is a token.
# The commonest kinds stand first: this runs over every character of a source.
_TOKEN = re.compile(
    r"""
    [ \t\f]*+(?:
    (?P<word>\w++)(?!['"])(?:[ \t]*+[.,:=;<>]++)?+
  | (?P<plain>[.,:=;<>]++)
  | (?P<newline>\r\n|\r|\n)
  | (?P<open>[(\[{])
  | (?P<close>[)\]}])
  | (?P<prefix_operator>[-+~*!])
  | (?P<comment>\#[^\n\r]*+)
  | (?P<string>(?P<prefix>[A-Za-z]{0,3})(?P<quoted>
        '''(?:[^\\']++|\\.|'(?!''))*+'''
      | \"\"\"(?:[^\\"]++|\\.|"(?!""))*+\"\"\"
      | '(?:[^\\'\n\r]|\\.)*+'
      | "(?:[^\\"\n\r]|\\.)*+"))
  | (?P<name>\w+?(?=[A-Za-z]{0,3}['"]))
  | (?P<continued>\\\r?\n)
  | (?P<other>.)
  | \Z
    )
    """,
    re.VERBOSE | re.DOTALL,
)
# Control characters but for tab, line ends and form feed; what ends a line for some
# readers and not for Python; what turns the direction of the text that follows.
_HIDDEN = re.compile(
    "[\x01-\x08\x0b\x0e-\x1f\x7f-\x9f\u2028\u2029"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_PREFIX_WORDS = frozenset(["not", "await", "lambda", "yield"])


def _count(text: str, first_line: int) -> Finding | None:
    """The first limit that the tokens of `text` pass over, or None."""
    line, depth, tokens, run = first_line, 0, 0, 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind is None or kind == "comment":
            continue
        value = match.group(kind)
        if kind == "word" and value not in _PREFIX_WORDS:
            tokens += 1
            run = 0
            if tokens < vocabulary.LINE_TOKENS:
                continue
        if kind in ("newline", "continued"):
            line += 1
            if depth == 0 and kind == "newline":
                tokens = run = 0
            continue
        tokens += 1
        if tokens > vocabulary.LINE_TOKENS:
            return Finding(
                "size",
                line,
                f"a statement of more than {vocabulary.LINE_TOKENS} tokens",
                "split it into several statements, or compute the table in a loop",
            )
        if kind == "other" and value in "'\"":
            # Going on would scan the rest again at every quote: quadratic.
            return Finding(
                "syntax", line, "a string that is never closed", "close the quotes"
            )
        if kind == "prefix_operator" or value in _PREFIX_WORDS:
            run += 1
            if run > vocabulary.PREFIX_RUN:
                return Finding(
                    "size",
                    line,
                    f"more than {vocabulary.PREFIX_RUN} operators in a row",
                    "write the expression with at most one sign",
                )
        elif kind != "open":
            run = 0
        if kind == "open":
            depth += 1
            if depth > vocabulary.BRACKET_DEPTH:
                return Finding(
                    "size",
                    line,
                    f"brackets nested deeper than {vocabulary.BRACKET_DEPTH}",
                    "name the inner parts in variables of their own",
                )
        elif kind == "close":
            depth = max(0, depth - 1)
        elif kind == "string":
            found = _inside(match, line)
            if found is not None:
                return found
            line += value.count("\n")
    return None


def _inside(match: re.Match[str], line: int) -> Finding | None:
    """Count inside an f-string: its braces hold expressions."""
    if "f" not in match.group("prefix").lower():
        return None
    body = match.group("quoted").strip("'\"")
    if body.count("{") != body.count("}"):
        # Python 3.12 lets an f-string hold its own quotes, which this lexer (and
        # Python 3.11) would read as the end of the string: refuse it everywhere.
        return Finding(
            "syntax",
            line,
            "an f-string that holds its own kind of quotes or an unmatched brace",
            "use the other kind of quotes inside the braces",
        )
    return _count(body, line) if "{" in body else None


def limits_passed(source: str) -> Finding | None:
    """The first size limit that `source` passes over, or None.

    Runs in time linear in the size of the source and never raises.
    """
    if len(source) > vocabulary.SOURCE_BYTES:
        size = len(source)
    else:
        try:
            size = len(source.encode("utf-8"))
        except UnicodeEncodeError:
            return Finding(
                "syntax",
                None,
                "a lone surrogate: the text is not valid Unicode",
                "write plain ASCII",
            )
    if size > vocabulary.SOURCE_BYTES:
        return Finding(
            "size",
            None,
            f"the source has {size} bytes; at most {vocabulary.SOURCE_BYTES}",
            "write one compact class; compute tables instead of spelling them out",
        )
    if "\0" in source:
        line = source.count("\n", 0, source.index("\0")) + 1
        return Finding("syntax", line, "a NUL character", "write plain text")
    hidden = _HIDDEN.search(source)
    if hidden is not None:
        line = source.count("\n", 0, hidden.start()) + 1
        return Finding(
            "syntax",
            line,
            f"a character that a terminal obeys or hides: U+{ord(hidden[0]):04X}",
            "leave it out, or write it as an escape in a string",
        )
    lines = source.count("\n") + source.count("\r") + 1
    if lines > vocabulary.SOURCE_LINES:
        return Finding(
            "size",
            None,
            f"the source has {lines} lines; at most {vocabulary.SOURCE_LINES}",
            "write one compact class",
        )
    return _count(source, 1)
