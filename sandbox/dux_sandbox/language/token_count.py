"""Counts the tokens of one statement: how many, how deep, how many signs in a row."""

import re

from dux_sandbox.findings import Finding
from dux_sandbox.language import vocabulary

_PREFIX_WORDS = frozenset(["not", "await", "lambda", "yield"])
_LINE_END = re.compile(r"\r\n|\r|\n")


class TokenCount:
    """Where a lexer has come to, against the limits.

    Attributes:
        line: 1-based.
        depth: brackets that are open, braces of f-strings among them.
    """

    def __init__(self) -> None:
        self.line = 1
        self.depth = 0
        self._tokens = 0
        self._run = 0

    def newline(self) -> None:
        """The end of a line; of a statement too where no bracket is open."""
        self.line += 1
        if self.depth == 0:
            self._tokens = self._run = 0

    def lines_of(self, text: str) -> None:
        """Count the lines inside a token."""
        if "\n" in text or "\r" in text:
            self.line += len(_LINE_END.findall(text))

    def token(self, kind: str, value: str) -> Finding | None:
        """Count one token; the limit that it passes over, or None.

        Args:
            kind: "word", "open", "close", "prefix_operator" or anything else.
            value: its text.
        """
        self._tokens += 1
        if self._tokens > vocabulary.LINE_TOKENS:
            return Finding(
                "size",
                self.line,
                f"a statement of more than {vocabulary.LINE_TOKENS} tokens",
                "split it into several statements, or compute the table in a loop",
            )
        if kind == "prefix_operator" or value in _PREFIX_WORDS:
            self._run += 1
            if self._run > vocabulary.PREFIX_RUN:
                return Finding(
                    "size",
                    self.line,
                    f"more than {vocabulary.PREFIX_RUN} operators in a row",
                    "write the expression with at most one sign",
                )
        elif kind == "open":
            self.depth += 1
            if self.depth > vocabulary.BRACKET_DEPTH:
                return Finding(
                    "size",
                    self.line,
                    f"brackets nested deeper than {vocabulary.BRACKET_DEPTH}",
                    "name the inner parts in variables of their own",
                )
        else:
            self._run = 0
            if kind == "close":
                self.depth = max(0, self.depth - 1)
        return None
