"""Size limits on a source before it is parsed: the parser itself can be attacked.

Whatever Python parses within the limits passes; what it would refuse is mostly left to
it, since its message is the better one.
"""

import io
import re
import sys
import tokenize

from dux_sandbox.findings import Finding
from dux_sandbox.language import vocabulary
from dux_sandbox.language.formatted_strings import Nesting, pass_over
from dux_sandbox.language.token_count import TokenCount

# A lexer good enough to count: strings and comments are opaque, all else is a token.
# The commonest kinds stand first: this runs over every character of a source.
_TOKEN = re.compile(
    r"""
    [ \t\f]*+(?:
    (?P<word>\w++)(?!['"])(?>(?:[ \t]*+[.,:=;<>]++)?)
  | (?P<plain>[.,:=;<>]++)
  | (?P<newline>\r\n|\r|\n)
  | (?P<open>[(\[{])
  | (?P<close>[)\]}])
  | (?P<prefix_operator>[-+~*!])
  | (?P<comment>\#[^\n\r]*+)
  | (?P<formatted>FORMATTED)
  | (?P<string>STRING)
  | (?P<name>\w++)
  | (?P<continued>\\(?:\r\n|\r|\n))
  | (?P<other>.)
  | \Z
    )
    """.replace("FORMATTED", Nesting.START).replace("STRING", Nesting.STRING),
    re.VERBOSE | re.DOTALL,
)


_KINDS = {
    **dict.fromkeys("([{", "open"),
    **dict.fromkeys(")]}", "close"),
    **dict.fromkeys(["-", "+", "~", "*", "**", "!"], "prefix_operator"),
}
_NESTING = Nesting(own_quotes=sys.version_info >= (3, 12))
_LINE_END = re.compile(r"\r\n|\r|\n")


def _count(text: str, nesting: Nesting) -> Finding | None:
    """The first limit that the tokens of `text` pass over, or None."""
    count = TokenCount()
    at, match_at, end = 0, _TOKEN.match, len(text)
    while at < end:
        match = match_at(text, at)
        assert match is not None  # the last kinds match anything
        at, kind = match.end(), match.lastgroup
        if kind is None or kind == "comment":
            continue
        value = match.group(kind)
        if kind == "newline":
            count.newline()
        elif kind == "continued":
            count.line += 1
        elif kind == "formatted":
            found, after = pass_over(text, match, count, nesting)
            if found is not None:
                return found
            if after is None:
                return _count_by_python(text)
            at = after
        else:
            if kind == "other" and value in "'\"":
                # Going on would scan the rest again at every quote: quadratic.
                return _never_closed(count.line)
            found = count.token(kind, value)
            if found is not None:
                return found
            if kind == "string":
                count.lines_of(value)
    return None


def _count_by_python(text: str) -> Finding | None:
    """As `_count`, by Python's own lexer, from 3.12 on: ten times slower.

    For a source with an f-string that seems to be malformed: what comes after it must
    be counted too, should Python think otherwise.
    """
    count = TokenCount()
    lines = io.StringIO(_LINE_END.sub("\n", text)).readline
    try:
        for token in tokenize.generate_tokens(lines):
            if token.type == tokenize.NEWLINE:
                count.newline()
            elif token.type not in (tokenize.NL, tokenize.COMMENT):
                count.line = token.start[0]
                found = count.token(_KINDS.get(token.string, "other"), token.string)
                if found is not None:
                    return found
    except (SyntaxError, tokenize.TokenError):
        pass  # Python refuses it, and says why
    return None


def _never_closed(line: int) -> Finding:
    return Finding("syntax", line, "a string that is never closed", "close the quotes")


def limits_passed(
    source: str, nesting: Nesting | None = None, *, times: int = 1
) -> Finding | None:
    """The first size limit that `source` passes over, or None.

    Runs in time linear in the size of the source and never raises.

    Args:
        source: the text.
        nesting: how f-strings are read; by default as this Python does it.
        times: by what the limits on bytes and lines are multiplied, for a file of which
            only a part is to become a rule.
    """
    most_bytes = times * vocabulary.SOURCE_BYTES
    most_lines = times * vocabulary.SOURCE_LINES
    if len(source) > most_bytes:
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
    if size > most_bytes:
        return Finding(
            "size",
            None,
            f"the source has {size} bytes; at most {most_bytes}",
            "write one compact class; compute tables instead of spelling them out",
        )
    if "\0" in source:
        line = source.count("\n", 0, source.index("\0")) + 1
        return Finding("syntax", line, "a NUL character", "write plain text")
    lines = len(_LINE_END.findall(source)) + 1
    if lines > most_lines:
        return Finding(
            "size",
            None,
            f"the source has {lines} lines; at most {most_lines}",
            "write one compact class",
        )
    return _count(source, nesting or _NESTING)
