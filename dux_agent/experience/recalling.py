"""Which entries of a library a prompt shows: those whose situation is nearest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dux_agent.errors import BadArgument
from dux_agent.experience.entry import Entry
from dux_agent.experience.library import read_library
from dux_agent.experience.situation import Situation, distance
from dux_agent.run_folder.trace import plain
from dux_prompts.experience import (
    MOST_CHARACTERS,
    MOST_SHOWN,
    SOURCE_CHARACTERS,
    experience_section,
)

_SHOWN = ("proposed", "family", "rate", "verdict", "change", "before", "reason")


@dataclass(frozen=True)
class Experience:
    """The entries of a library, as they were when it was read."""

    entries: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, file: str | Path | None) -> Experience:
        """Of a file; None: there is none.

        Raises:
            BadArgument: it is no name of a file.
            LibraryUnusable: it is no library, or cannot be read.
        """
        if file is None:
            return cls()
        if not isinstance(file, str | Path):
            raise BadArgument(
                f"experience is a {type(file).__name__}; the name of a library that "
                f"`dux learn` made was wanted; pass one, or leave it out."
            )
        return cls(tuple(read_library(file)))

    def nearest(self, *situations: Situation, count: int = MOST_SHOWN) -> list[Entry]:
        """So many whose situation is nearest to one of those, the nearest first.

        Of one source, or of one idea in one run, only the nearest. Of two that are as
        near the one that did well comes first, then the one with the smaller key.
        """
        if not situations:
            return []

        def place(entry: Entry) -> tuple[float, bool, str]:
            near = min(distance(entry.situation, each) for each in situations)
            return round(near, 9), not entry.did_well, entry.key

        found: list[Entry] = []
        seen: set[tuple[str, str]] = set()
        for entry in sorted(self.entries, key=place):
            names = {("", entry.digest), (entry.run, entry.proposed)}
            if names & seen:
                continue
            seen |= names
            found.append(entry)
            if len(found) == count:
                break
        return found

    def recalled(
        self, *situations: Situation, most: int = MOST_CHARACTERS
    ) -> list[dict[str, Any]]:
        """What a prompt is to show of them, within its room; free of secrets.

        The source of the first that did well is there too, if it is short enough.

        Args:
            most: characters that the prompt has room for.
        """
        nearest = self.nearest(*situations)
        told = [_told(entry) for entry in nearest]
        for place, entry in zip(told, nearest, strict=True):
            if entry.did_well and 0 < len(entry.source) <= SOURCE_CHARACTERS:
                place["source"] = entry.source
                break
        # The environment may name other secrets now than when it was learned.
        shown: list[dict[str, Any]] = plain(told)
        room = min(most, MOST_CHARACTERS)
        if len(experience_section(shown)) > room:
            shown = [{**each, "source": None} for each in shown]
        while shown and len(experience_section(shown)) > room:
            shown.pop()
        return shown


def _told(entry: Entry) -> dict[str, Any]:
    parts: dict[str, Any] = {name: getattr(entry, name) for name in _SHOWN}
    names = {"key": entry.key, "digest": entry.digest, "lesson": entry.lesson}
    return {**names, "situation": entry.situation.as_dict(), **parts, "source": None}
