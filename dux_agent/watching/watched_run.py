"""One run folder as a page that stays current, and what is said to its training."""

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Any

from dux_agent.formatting import bytes_text
from dux_agent.report.money import Prices
from dux_agent.report.page import render_study
from dux_agent.run_folder.folder_lock import is_locked, take
from dux_agent.run_folder.own_files import carefully, own_folder
from dux_agent.run_folder.watchers_word import (
    MOST_CHARACTERS,
    Question,
    pause,
    paused,
    questions,
    watched_file,
)
from dux_agent.tuning.reading import read_study
from dux_agent.tuning.recorded_study import is_study
from dux_agent.watching.followed_run import FollowedRun
from dux_agent.watching.pages import Control, render_note, render_watched

_SECONDS_OF_READING = 0.5
# Unread bytes from which only the progress is shown.
_FAR_BEHIND = 4 * 2**20
_MOST_OF_A_STUDY = 64 * 2**20
# A page may take a 20th of a core, so that the training keeps the rest.
_SHARE = 20
_LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True)
class Page:
    """A page as it is sent.

    Attributes:
        text: HTML.
        tag: of the text.
        behind: there is more to read; ask again at once.
    """

    text: str
    tag: str
    behind: bool = False

    @classmethod
    def of(cls, text: str, *, behind: bool = False) -> "Page":
        """That of a text."""
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        return cls(text, f'"{digest[:32]}"', behind)


class WatchedRun:
    """A run folder that is shown; safe to use from several threads."""

    def __init__(
        self,
        path: Path,
        prices: Prices,
        *,
        above: str = "",
        reading: float = _SECONDS_OF_READING,
    ) -> None:
        """Nothing was read yet.

        Args:
            path: the run folder.
            prices: of language models.
            above: address of the list that it is one of.
            reading: seconds that a look at it may read on.
        """
        self.path, self._prices, self._above = path, prices, above
        self._reading = reading
        self._followed = FollowedRun(path)
        self._lock = Lock()
        self._held: FileIO | None = None  # locked: others see that it is watched
        self._seen: tuple[Any, ...] = ()
        self._control: Control | None = None
        self._page = Page.of("")
        self._next = 0.0
        self._was_locked = self._caught_up = False
        self._grew = float("-inf")

    def page(self) -> Page:
        """The page as things are now.

        Raises:
            DuxError: it is no run folder.
            OSError: there is no trace yet, or it cannot be read.
        """
        with self._lock:
            if is_study(self.path):
                return self._study_page()
            before = self._followed.place
            behind = self._followed.read_on(self._reading)
            if self._caught_up and self._followed.place != before:
                self._grew = time.monotonic()
            size = self._followed.size()
            if behind and size - self._followed.place[1] > _FAR_BEHIND:
                told = f"reading its trace: {bytes_text(self._followed.place[1])} of "
                return Page.of(
                    render_note(self.path, told + bytes_text(size)), behind=True
                )
            self._caught_up = self._caught_up or not behind
            control = self._now(self._goes_on())
            seen = (*self._followed.place, self._followed.passed_over)
            due = time.monotonic() >= self._next and seen != self._seen
            if due or control != self._control:
                before_it = time.thread_time()
                text = render_watched(
                    self._followed, self._prices, control, self._above
                )
                self._rest(time.thread_time() - before_it)
                self._seen, self._control = seen, control
                self._page = Page.of(text)
            return replace(self._page, behind=behind)

    def say(self, said: Mapping[str, Any]) -> str:
        """Do what a button asks for; what went wrong, or "".

        Args:
            said: `{"action": "pause"}`, `{"action": "resume"}`, or
                `{"action": "answer", "key": of the question, "answer": the word}`.
        """
        action, answer = said.get("action"), said.get("answer")
        try:
            if is_study(self.path):
                return "nothing can be said to a study."
            if action in ("pause", "resume"):
                pause(self.path, on=action == "pause")
                return ""
            if action != "answer" or not isinstance(answer, bool | str):
                return "there is no such button; load the page again."
            if isinstance(answer, str):
                answer = answer.encode("utf-8", "replace").decode().strip()
                if not 0 < len(answer) <= MOST_CHARACTERS:
                    return f"a text of 1 to {MOST_CHARACTERS:,} characters was wanted."
            asked: list[Question] = [
                each for each in questions(self.path) if each.key == said.get("key")
            ]
            if asked and asked[0].here and asked[0].say(answer):
                return ""
            return "nobody waits for that answer any more."
        except OSError as error:
            return (
                f"{self.path} cannot be written: {error.strerror or error}; a run "
                f"folder of your own was wanted."
            )

    def close(self) -> None:
        """Nobody watches it here any more."""
        with self._lock:
            self._let_go()

    def _study_page(self) -> Page:
        status = (self.path / "trace.jsonl").stat()
        seen = (status.st_size, status.st_mtime_ns)
        if seen != self._seen and time.monotonic() >= self._next:
            if status.st_size > _MOST_OF_A_STUDY:
                told = f"its trace has {bytes_text(status.st_size)}; see dux report"
                return Page.of(render_note(self.path, told))
            before_it = time.thread_time()
            self._page = Page.of(render_study(read_study(self.path), live=True))
            self._rest(time.thread_time() - before_it)
            self._seen = seen
        return self._page

    def _rest(self, spent: float) -> None:
        """Draw nothing for a while after so many seconds of work.

        Of a core's time, not of the clock's: where the training takes every core, a
        page would be drawn the less often the longer it had to wait for one.
        """
        pause = min(_SHARE * spent, _LONGEST_PAUSE_SECONDS)
        self._next = time.monotonic() + pause

    def _goes_on(self) -> bool:
        """Whether a process writes the run; where there are no locks, by its growth."""
        locked = is_locked(self.path / "trace.jsonl")
        self._was_locked = self._was_locked or locked
        grows = time.monotonic() - self._grew < _LONGEST_PAUSE_SECONDS
        return locked or (grows and not self._was_locked)

    def _now(self, goes_on: bool) -> Control:
        waiting = questions(self.path) if goes_on else []
        (self._hold if goes_on else self._let_go)()
        return Control(
            goes_on=goes_on,
            paused=paused(self.path),
            waiting=tuple((each, each.answered) for each in waiting),
        )

    def _hold(self) -> None:
        """Be seen by a training that asks; another process may be already."""
        if self._held is not None:
            return
        file = watched_file(self.path)
        with suppress(OSError):
            own_folder(file.parent)
            file.parent.mkdir(exist_ok=True)
            held = FileIO(file, "ab", opener=carefully)
            if take(held.fileno()):
                self._held = held
            else:
                held.close()

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None
