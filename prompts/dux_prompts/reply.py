"""Reads the proposal out of a reply: the last fenced Python block, or a finding."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dux_sandbox.findings import Finding

REPLY_CHARACTERS = 400_000
"""A longer reply is not looked at: no optimizer is near that long."""

_FENCE = re.compile(r"^[ \t]*(?P<mark>`{3,}|~{3,})[ \t]*(?P<tag>[^\n`]*)$")
_PYTHON_TAGS = {"", "python", "py", "python3", "python 3", "py3", "pycon"}
_LOOKS_LIKE_SOURCE = re.compile(
    r"^(?:import|from)\s+\w|^class\s+\w+.*:\s*(?:#.*)?$", re.MULTILINE
)
# Lone surrogates cannot be written to a UTF-8 trace, and NULs end C strings.
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Proposal:
    """A source and its reasoning, as the model answered.

    Attributes:
        source: the text of one optimizer; ends in one line feed.
        why: the prose around it, often empty (the reasons stand in the comments).
    """

    source: str = field(repr=False)
    why: str = ""


@dataclass(frozen=True)
class _Block:
    """A fenced block: its language tag, its text and the lines it spans."""

    tag: str
    text: str
    first: int
    last: int


def cleaned(text: str) -> str:
    """The text with what no file or terminal can hold replaced by U+FFFD.

    Line ends become line feeds.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNWRITABLE.sub("\ufffd", text)


def read(text: str) -> Proposal | Finding:
    """The proposal in a reply, or the finding that says what is missing.

    The last fenced block tagged Python (or untagged) that holds something wins: a
    model that corrects itself writes the better version last. A fence left open at
    the end counts, and so does a reply that is nothing but source.

    >>> read("Here:\\n```python\\nimport torch\\n```\\nDone.").source
    'import torch\\n'
    """
    if len(text) > REPLY_CHARACTERS:
        return Finding(
            "reply",
            None,
            f"the reply has {len(text)} characters, more than {REPLY_CHARACTERS}",
            "one short class in one fenced Python block",
        )
    text = cleaned(text)
    lines = text.split("\n")
    blocks = _blocks(lines)
    python = [
        block
        for block in blocks
        if block.tag.lower() in _PYTHON_TAGS and block.text.strip()
    ]
    # An untagged block may hold shell or output: prefer what looks like a class.
    likely = [block for block in python if "class " in block.text] or python
    if likely:
        block = likely[-1]
        prose = lines[: block.first] + lines[block.last + 1 :]
        return Proposal(_tidy(block.text), "\n".join(prose).strip())
    if not blocks and _LOOKS_LIKE_SOURCE.search(text) and "class " in text:
        return Proposal(_tidy(text), "")
    found = "an empty reply" if not text.strip() else "no Python block in the reply"
    return Finding(
        "reply",
        None,
        f"found {found}",
        "the complete class in one fenced block: ```python ... ```",
    )


def _blocks(lines: list[str]) -> list[_Block]:
    """All fenced blocks; a fence closes only by its own mark, as long or longer."""
    blocks: list[_Block] = []
    opened: tuple[str, str, int] | None = None
    body: list[str] = []
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if opened is None:
            if fence:
                opened = (fence["mark"], fence["tag"].strip(), number)
                body = []
            continue
        mark, tag, first = opened
        closes = fence and fence["mark"].startswith(mark) and not fence["tag"].strip()
        # A second opening fence with a tag: the model forgot to close the first.
        reopens = fence and fence["mark"] == mark and bool(fence["tag"].strip())
        if closes or reopens:
            blocks.append(_Block(tag, "\n".join(body), first, number))
            body = []
            opened = None
            if reopens and fence:
                opened = (fence["mark"], fence["tag"].strip(), number)
            continue
        body.append(line)
    if opened is not None:
        mark, tag, first = opened
        blocks.append(_Block(tag, "\n".join(body), first, len(lines) - 1))
    return blocks


def _tidy(source: str) -> str:
    """The source without the indentation of a list around it, one line feed last."""
    lines = source.strip("\n").split("\n")
    filled = [line for line in lines if line.strip()]
    margin = min((len(line) - len(line.lstrip(" ")) for line in filled), default=0)
    return "\n".join(line[margin:].rstrip() for line in lines).strip() + "\n"
