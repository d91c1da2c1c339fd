"""A run folder as it grows, read a little at a time and kept within bounds."""

import time
from dataclasses import replace
from pathlib import Path

from dux_agent.run_folder.kept_sources import read_kept_source
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace_growth import Follower
from dux_agent.run_history.reading import story_of
from dux_agent.run_history.records import RunHistory
from dux_agent.watching.gathered import Gathered

# Bytes of a line; a whole chat with its escapes is a fraction of it.
_MOST_OF_A_LINE = 8 * 2**20
_MOST_SOURCES = 200


class FollowedRun:
    """What a run folder has told so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._follower = Follower(path, _MOST_OF_A_LINE)
        self._files = self._follower.files
        self._gathered = Gathered()
        self._sources: dict[str, str] = {}

    @property
    def place(self) -> tuple[int, int]:
        """How far it was read: the file, where it was made anew, and bytes of it."""
        return self._follower.files, self._follower.place

    @property
    def passed_over(self) -> int:
        """Lines that are no events."""
        return self._follower.passed_over

    @property
    def older(self) -> int:
        """Decisions of which nothing is told any more."""
        return self._gathered.left_out

    @property
    def whole(self) -> frozenset[int]:
        """Numbers of the decisions of which everything is told."""
        return self._gathered.whole

    def size(self) -> int:
        """Bytes of the trace.

        Raises:
            OSError: there is none.
        """
        return self._follower.trace.stat().st_size

    def read_on(self, seconds: float) -> bool:
        """Take in what it has grown by, for about so long; whether time ran out.

        Raises:
            OSError: there is no trace, or it cannot be read.
        """
        end = time.monotonic() + seconds
        for piece in self._follower.pieces():
            self._begin_anew()
            self._gathered.take(piece)
            if time.monotonic() >= end:
                return True
        self._begin_anew()
        return False

    def story(self) -> RunHistory:
        """The run as far as it was read.

        Raises:
            RunFolderUnusable: it is no run folder, or of another format.
        """
        events = self._gathered.kept()
        wanted = {
            str(event.data.get("digest"))
            for event in events
            if event.decision in self._gathered.whole
        }

        def source_of(digest: str) -> str | None:
            return self._source(digest) if digest in wanted else None

        story = story_of(self.path, read_facts(self.path), events, source_of)
        seen = self._gathered
        return replace(
            story,
            events=seen.events,
            began=seen.began,
            ended=seen.ended,
            agent_began=seen.agent_began,
        )

    def _begin_anew(self) -> None:
        """Forget what another file told that had the name before."""
        if self._files != self._follower.files:
            self._files, self._gathered = self._follower.files, Gathered()

    def _source(self, digest: str) -> str | None:
        known = self._sources.get(digest)
        if known is None:
            known = read_kept_source(self.path, digest)
            if known is not None:
                while len(self._sources) >= _MOST_SOURCES:
                    del self._sources[next(iter(self._sources))]
                self._sources[digest] = known
        return known
