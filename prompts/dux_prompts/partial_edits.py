"""Tells an edit of a source (a diff, search and replace) from a whole one."""

import re

_HUNK = re.compile(
    r"^[ \t>]{0,8}(?:diff --git |@@ -?\d|--- a/|\+\+\+ b/|\*\*\* (?:Begin|Update) )",
    re.MULTILINE,
)
_SEARCH = re.compile(r"^[ \t]{0,8}(?:<{5,9} ?\w|>{5,9} ?\w)", re.MULTILINE)
_CHANGED = re.compile(r"^[+-][ \t]*[\w@#]", re.MULTILINE)
_FENCED_DIFF = re.compile(r"^[ \t]{0,8}(?:`{3,}|~{3,})[ {.]{0,4}(?:diff|patch)", re.M)


def edit_in(text: str) -> str | None:
    """What kind of edit a reply without a whole class holds, if it is one.

    >>> edit_in("@@ -1,3 +1,3 @@\\n-lr = 0.1\\n+lr = 0.2")
    'a diff'
    """
    if _HUNK.search(text) or _FENCED_DIFF.search(text):
        return "a diff"
    if _SEARCH.search(text):
        return "a search and replace"
    plus_and_minus = {line[0] for line in _CHANGED.findall(text)} == {"+", "-"}
    return "a diff" if plus_and_minus and "class " not in text else None
