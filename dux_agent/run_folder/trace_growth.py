"""Reads a trace while it is written: what it has grown by since the last look."""

import os
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from dux_agent.run_folder.own_files import open_own
from dux_agent.run_folder.prompt_chain import PromptChain
from dux_agent.run_folder.trace import Event, whole
from dux_graphs.plain_json import MOST_BYTES

# Of the beginning of a trace; its first event has a time, so no two begin alike.
_HEAD_BYTES = 256
# Bytes; so many lines are read in a fraction of a second.
_AT_ONCE = 2**18
# Characters of prompts and replies after which a chat is not remembered any more.
_MOST_TALK = 2**26


class Follower:
    """Reads what a trace has grown by; a line that is not whole yet waits.

    Attributes:
        trace: the file.
        place: bytes of it that were read.
        passed_over: lines that were no events, or longer than `most`.
        files: how many files were met under its name: one that was made anew is read
            from its beginning.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "trace.jsonl").write_text("")
    >>> Follower(folder).news()
    []
    """

    def __init__(self, folder: Path, most: int = MOST_BYTES) -> None:
        """Nothing was read yet.

        Args:
            folder: the run folder.
            most: bytes of a line; a longer one is no event.
        """
        self.trace, self._most = folder / "trace.jsonl", most
        self.files = 0
        self._head = b""
        self._begin()

    def news(self) -> list[Event]:
        """The events since the last call; lines that are no events are passed over.

        Raises:
            OSError: there is no trace, or it cannot be read.
        """
        return [event for piece in self.pieces() for event in piece]

    def pieces(self) -> Iterator[list[Event]]:
        """As `news`, piece by piece; what was not asked for comes at the next call."""
        with BufferedReader(open_own(self.trace)) as file:
            if not self._same(file):
                self._begin()
            file.seek(self.place)
            while content := self._some(file):
                lines, _, rest = content.rpartition(b"\n")
                if not lines and len(rest) < self._most:
                    break  # the beginning of a line; of one without an end, a part
                if self.place < _HEAD_BYTES:
                    self._head += content[: _HEAD_BYTES - self.place]
                self.place += len(content) - len(rest) * bool(lines)
                self._head = self._head[: self.place]
                file.seek(self.place)
                yield list(self._events(lines or rest))

    def _begin(self) -> None:
        self.place = self.passed_over = self._talk = 0
        self.files += 1
        self._head = b""
        self._chain = PromptChain()

    def _same(self, file: BinaryIO) -> bool:
        """Whether it is the file that was read; a resumed run only cuts a torn line."""
        if file.read(len(self._head)) != self._head:
            return False
        return file.seek(0, os.SEEK_END) >= self.place

    def _some(self, file: BinaryIO) -> bytes:
        """The next lines, or a long one."""
        content = file.read(min(_AT_ONCE, self._most))
        while b"\n" not in content and len(content) < self._most:
            more = file.read(min(_AT_ONCE, self._most - len(content)))
            if not more:
                break
            content += more
        return content

    def _events(self, lines: bytes) -> Iterator[Event]:
        for line in lines.split(b"\n"):
            try:
                event = Event.from_line(line.decode("utf-8"))
            except (ValueError, TypeError):
                self.passed_over += bool(line.strip())
                continue
            if event.kind in ("prompt", "reply"):
                self._talk += len(line)
                if self._talk > _MOST_TALK:
                    self._chain, self._talk = PromptChain(), 0
            yield whole(event, self._chain)
