"""The part of a prompt that shows other trainings, told from what is said of this."""

from __future__ import annotations

import re

_HEADING = re.compile(r"^#+ .*\bother trainings\b.*$", re.MULTILINE | re.IGNORECASE)
_FENCE = re.compile(r"^(`{3,})\w*\n.*?\n\1$", re.DOTALL | re.MULTILINE)


def split(update: str) -> tuple[str, str]:
    """A prompt without that part, and the part.

    It ends at the next heading that stands in no fence.
    """
    found = _HEADING.search(update)
    if found is None:
        return update, ""
    blank = _FENCE.sub(lambda fence: re.sub(r"[^\n]", " ", fence[0]), update)
    end = re.search(r"^#+ ", blank[found.end() :], re.MULTILINE)
    ends = len(update) if end is None else found.end() + end.start()
    return update[: found.start()] + update[ends:], update[found.start() : ends]
