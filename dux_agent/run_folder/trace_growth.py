"""Reads a trace while it is written: what it has grown by since the last look."""

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from dux_agent.run_folder.own_files import open_own
from dux_agent.run_folder.prompt_chain import PromptChain
from dux_agent.run_folder.trace import Event, whole
from dux_graphs.plain_json import MOST_BYTES


class Follower:
    """Reads what a trace has grown by; a line that is not whole yet waits.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "trace.jsonl").write_text("")
    >>> Follower(folder).news()
    []
    """

    def __init__(self, folder: Path) -> None:
        self.trace = folder / "trace.jsonl"
        self._place = 0
        self._chain = PromptChain()

    def news(self) -> list[Event]:
        """The events since the last call; lines that are no events are passed over."""
        found: list[Event] = []
        with BufferedReader(open_own(self.trace)) as file:
            file.seek(self._place)
            while content := file.read(MOST_BYTES):
                lines, _, rest = content.rpartition(b"\n")
                if not lines and len(rest) < MOST_BYTES:
                    break  # the beginning of a line; of one without an end, a part
                self._place += len(content) - len(rest) * bool(lines)
                file.seek(self._place)
                found += self._events(lines or rest)
        return found

    def _events(self, lines: bytes) -> Iterator[Event]:
        for line in lines.split(b"\n"):
            try:
                event = Event.from_line(line.decode("utf-8"))
            except (ValueError, TypeError):
                continue
            yield whole(event, self._chain)
