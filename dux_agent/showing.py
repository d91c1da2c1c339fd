"""Records as a notebook and a prompt show them: one line, or one small table."""

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence

# A class with a base; an ordinary helper class without one is no rule.
_CLASS = re.compile(r"^[ \t]*class\s+(\w+)\s*\(", re.MULTILINE)
_NAME_CHARACTERS = 60
_DIGEST_CHARACTERS = 8


def named(source: str | None, digest: str | None = None) -> str:
    """A source in two words: the name of its rule, and the beginning of its digest.

    >>> named("class Slow(Optimizer):\\n    pass", "3f9a0b12c4")
    'Slow 3f9a0b12'
    """
    found = _CLASS.search(source or "")
    name = "" if found is None else found[1][:_NAME_CHARACTERS]
    return f"{name} {(digest or '')[:_DIGEST_CHARACTERS]}".strip()


def one_line(text: str, width: int | None = None) -> str:
    """`text` on one line, without control characters, cut to `width` characters.

    What a model wrote goes to a terminal only through here: an escape sequence in a
    docstring would otherwise act on it.

    >>> one_line("keep\\n\\x1b[31m going", 10)
    'keep [31m…'
    """
    clean = "".join(
        " " if unicodedata.category(sign).startswith(("C", "Z")) else sign
        for sign in text
    )
    clean = " ".join(clean.split())
    if width is not None and len(clean) > width:
        clean = clean[: width - 1].rstrip() + "…"
    return clean


def html_table(rows: Iterable[Sequence[object]]) -> str:
    """Rows of cells as a small HTML table; the first cell of each is its heading."""
    lines = []
    for heading, *cells in rows:
        written = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
        lines.append(f"<tr><th>{html.escape(str(heading))}</th>{written}</tr>")
    return f"<table>{''.join(lines)}</table>"
