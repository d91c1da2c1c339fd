"""Whether a line of Python ends inside a string in triple quotes."""

import re

_PIECE = re.compile(
    r"""(?P<triple>\"{3}|'{3})|"(?>(?:\\.|[^"\\])*)"?|'(?>(?:\\.|[^'\\])*)'?|\#.*"""
    r"""|[^"'\#]++""",
    re.DOTALL,
)
_ENDS = {
    '"""': re.compile(r'(?>(?:[^"\\]|\\.|"(?!""))*)"""', re.DOTALL),
    "'''": re.compile(r"(?>(?:[^'\\]|\\.|'(?!''))*)'''", re.DOTALL),
}


class OpenStrings:
    """Reads lines one after the other; each character once.

    Attributes:
        quotes: the quotes of the string that is open, "" outside of one.
    """

    def __init__(self) -> None:
        self.quotes = ""

    def after(self, line: str) -> str:
        """The quotes that are open at the end of a line; nothing is changed."""
        quotes, at = self.quotes, 0
        while at < len(line) or quotes:
            if quotes:
                end = _ENDS[quotes].match(line, at)
                if end is None:
                    return quotes
                quotes, at = "", end.end()
                continue
            piece = _PIECE.match(line, at)
            if piece is None:
                return ""
            at = piece.end()
            quotes = piece["triple"] or ""
        return ""

    def read(self, line: str) -> None:
        """Go on to the end of this line."""
        self.quotes = self.after(line)
