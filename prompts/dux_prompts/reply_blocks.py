"""Takes a reply apart: fenced blocks, the prose round them, and what was thought."""

import re
from dataclasses import dataclass, field

from dux_prompts.fences import (
    Fence,
    closing,
    is_info,
    language_of,
    opening,
    without_quote,
)
from dux_prompts.open_strings import OpenStrings
from dux_prompts.reply_sources import Written
from dux_prompts.thinking import thought_in

_DEEPEST = 3  # a block of Markdown holds blocks of its own
_FENCE_WITHIN = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: what its fence names: "python" by whatever name, "" for none.
        text: its lines, without the indentation of a list round them; ends in one line
            feed.
        closed: its closing fence is there.
    """

    language: str
    text: str
    closed: bool = True


@dataclass
class Parts:
    """What a reply is made of.

    Attributes:
        blocks: in order; those of a block of Markdown in its place.
        prose: the lines outside of blocks and thinking.
        thought: the lines of the thinking.
        thinking: the reply ends inside its thinking.
    """

    blocks: list[Block] = field(default_factory=list)
    prose: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)
    thinking: bool = False


def parts_of(text: str, *, strings: bool, depth: int = _DEEPEST) -> Parts:
    """Take a reply apart, in time linear in its length.

    Args:
        text: cleaned, see `dux_prompts.reply.cleaned`.
        strings: a mark inside a string in triple quotes is part of the code. Where such
            a string is never closed, the other reading is the better one.
        depth: how deep blocks may stand in blocks.
    """
    reading = _Reading(strings)
    for line in text.split("\n"):
        reading.read(line)
    parts = reading.end()
    parts.blocks = [
        inner for block in parts.blocks for inner in _within(block, strings, depth)
    ]
    return parts


def tidy(source: str) -> str:
    """The source without the indentation of a list around it, one line feed last."""
    lines = source.strip("\n").split("\n")
    filled = [line for line in lines if line.strip()]
    # Of tabs and spaces only what is the same in front of every line.
    first = filled[0] if filled else ""
    margin = first[: len(first) - len(first.lstrip(" \t"))]
    for line in filled:
        while not line.startswith(margin):
            margin = margin[:-1]
    return "\n".join(line[len(margin) :].rstrip() for line in lines).strip() + "\n"


def _within(block: Block, strings: bool, depth: int) -> list[Block]:
    markdown = block.language in ("markdown", "md", "text", "txt", "plaintext", "")
    if not markdown or depth <= 0 or not _FENCE_WITHIN.search(block.text):
        return [block]
    if Written(block.text).tree is not None:
        return [block]  # the fence stands in a string
    return parts_of(block.text, strings=strings, depth=depth - 1).blocks or [block]


class _Reading:
    """Where the reading of a reply has come to, line by line."""

    def __init__(self, strings: bool) -> None:
        self._parts = Parts()
        self._aware = strings
        self._fence: Fence | None = None
        self._body: list[str] = []
        self._strings = OpenStrings()
        self._thought_closes: re.Pattern[str] | None = None

    def read(self, line: str) -> None:
        """One line, in whatever the lines before it have opened."""
        while True:
            if self._fence is not None:
                self._read_code(line)
                return
            if self._thought_closes is not None:
                found = self._thought_closes.search(line)
                if found is None:
                    self._parts.thought.append(line)
                    return
                self._parts.thought.append(line[: found.start()])
                self._thought_closes = None
                line = line[found.end() :]
                if not line.strip():
                    return
            thought = thought_in(line)
            if thought is None:
                self._read_prose(line)
                return
            if thought.before.strip():
                self._read_prose(thought.before)
            if self._fence is not None:
                self._read_code(line[len(thought.before) :])
                return
            self._thought_closes = thought.closes
            line = thought.behind

    def end(self) -> Parts:
        """What was read, with what is open at the end."""
        self._parts.thinking = self._thought_closes is not None
        if self._fence is not None:
            self._close(closed=False)
        return self._parts

    def _read_prose(self, line: str) -> None:
        fence = opening(line)
        if fence is None:
            self._parts.prose.append(line)
        else:
            self._open(fence)

    def _open(self, fence: Fence) -> None:
        if fence.before.strip():
            self._parts.prose.append(fence.before)
        self._fence, self._body, self._strings = fence, [], OpenStrings()
        if fence.code:
            self._take(fence.code)

    def _take(self, line: str) -> None:
        self._body.append(line)
        if self._aware:
            self._strings.read(line)

    def _read_code(self, line: str) -> None:
        fence = self._fence
        assert fence is not None  # who calls has looked
        if fence.quoted:
            line = without_quote(line)
        closed = closing(line, fence.mark)
        if closed is None:
            self._take(line)
            return
        before, behind = closed
        # After the string, and not before it: its quotes may close on this very line.
        if self._aware and (
            self._strings.after(before) if before else self._strings.quotes
        ):
            self._take(line)
            return
        if before.strip():
            self._take(before)
        self._close(closed=True)
        # A second opening: the model forgot to close the block before it.
        again = opening(line) if not before and is_info(behind) else None
        if again is not None:
            self._open(again)
        elif behind.strip():
            self._parts.prose.append(behind.strip())

    def _close(self, *, closed: bool) -> None:
        assert self._fence is not None  # who calls has looked
        text = tidy("\n".join(self._body))
        if text.strip():
            language = language_of(self._fence.info)
            self._parts.blocks.append(Block(language, text, closed))
        self._fence = None
