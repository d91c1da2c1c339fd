"""What a source is about, in one line, read without parsing or running it."""

import re

from dux_agent.showing import one_line

# A class with a base; an ordinary helper class without one is no rule.
_CLASS = re.compile(r"^\s*class\s+(\w+)\s*\(", re.MULTILINE)
_DOCSTRING = re.compile(
    r"^\s*class\s+\w+\s*\([^)]*\)\s*:\s*(?:#[^\n]*)?\s*[rR]?(\"\"\"|'''|\"|')(.*?)\1",
    re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"^[ \t]*#+[ \t]*(\S[^\n]*)$", re.MULTILINE)

# The prompt asks a model to reason in comments: figures first, then what it changes.
_HEADING = re.compile(r"\b(?:chang\w*|plan|decision|therefore)\b[^.]*:$", re.IGNORECASE)
_SIGNATURE = re.compile(r"^written by\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.;!?])\s|\n\s*\n")

# More is never looked at: a source may be anything, of any size.
_LOOKED_AT = 65_536


def summary(source: str | None, width: int = 60) -> str:
    """The rule's name and the first words of what it says of itself.

    That is its docstring, else what follows a comment such as "What I change:",
    else its first comment.

    >>> summary('class Slow(Optimizer):\\n    "Cools down. Then stops."\\n')
    'Slow: Cools down.'
    >>> summary("# The loss is flat.\\n# I change:\\n# - Adam, warmed\\n#   up.\\n")
    'Adam, warmed up.'
    >>> summary(None)
    ''
    """
    if not source:
        return ""
    source = source[:_LOOKED_AT]
    named = _CLASS.search(source)
    told = _DOCSTRING.search(source)
    words = told[2].strip() if told else ""
    # The first sentence says what it is; the rest stands in the source.
    first = _SENTENCE_END.split(words or _told_in_comments(source), maxsplit=1)[0]
    parts = (named[1] if named else "", first)
    return one_line(": ".join(part for part in parts if part), width)


def _told_in_comments(source: str) -> str:
    comments = [found[1].strip() for found in _COMMENT.finditer(source)]
    for position, comment in enumerate(comments[:-1]):
        if _HEADING.search(comment):
            return " ".join(comments[position + 1 : position + 5]).lstrip("-* ")
    kept = [comment for comment in comments if not _SIGNATURE.match(comment)]
    return kept[0] if kept else ""
