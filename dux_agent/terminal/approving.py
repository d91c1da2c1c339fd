"""Asks a person about a proposal that passed: what it changes, and yes or no."""

import os
import select
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from dux_agent.run_folder.watchers_word import Question
from dux_agent.terminal.decision_text import clean_lines, print_diff
from dux_agent.terminal.progress import TrainingDisplay

_QUESTION = "Let it go live? [y/n, or what to do otherwise] "
_SECONDS_BETWEEN_LOOKS = 0.2


class Person:
    """Whoever sits at the terminal; what `dux_graphs.approval.Approve` describes.

    Where the run has a folder, whoever watches it (`dux watch`) may answer as well; the
    first word counts.
    """

    def __init__(self, console: Console, display: TrainingDisplay) -> None:
        """They read what is printed on `console`, while `display` stands still."""
        self._console, self._display = console, display
        self._typed = b""  # read, and of a later answer

    def __call__(self, proposal: Mapping[str, Any]) -> bool | str:
        """Yes, no, or a text for the language model; no where nobody answers."""
        return self._ask(proposal, None)

    def beside(self, proposal: Mapping[str, Any], question: Question) -> bool | str:
        """The same, or what is said in the page of the run.

        Where nobody can type any more, that is waited for while somebody watches.
        """
        return self._ask(proposal, question)

    def _ask(
        self, proposal: Mapping[str, Any], question: Question | None
    ) -> bool | str:
        with self._display.standing_still():
            print_diff(self._console, clean_lines(str(proposal["diff"])))
            for name in ("losses", "incumbent_losses"):
                losses = ", ".join(f"{loss:.4g}" for loss in proposal[name])
                words = name.replace("_", " ")
                self._console.print(f"{words} of the dry run: {losses or 'none'}")
            typed = None if question is None else _handle_of_stdin()
            if question is not None and typed is not None:
                return self._first_word(question, typed)
            try:
                return _word(self._console.input(_QUESTION))
            except EOFError:
                return False

    def _first_word(self, question: Question, typed: int) -> bool | str:
        self._console.print(_QUESTION, end="", markup=False)
        ended = False
        while True:
            said = question.answer()
            if said is not None:
                self._console.print("answered in the page of the run")
                return said
            if ended:
                if not question.watched:
                    return False
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                continue
            ended = not self._more(typed)
            line, end, rest = self._typed.partition(b"\n")
            if end or (ended and line):
                self._typed = rest
                return _word(line.decode("utf-8", "replace"))

    def _more(self, typed: int) -> bool:
        """Wait a moment for more than was typed; False where nothing can come."""
        if b"\n" in self._typed:
            return True
        ready, _, _ = select.select([typed], [], [], _SECONDS_BETWEEN_LOOKS)
        more = os.read(typed, 4096) if ready else b""
        self._typed += more
        return bool(more) or not ready


def _handle_of_stdin() -> int | None:
    """To wait for it and for something else; None where the system cannot."""
    if sys.platform == "win32":
        return None
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def _word(typed: str) -> bool | str:
    answer = typed.strip()
    if answer.lower() in ("y", "yes"):
        return True
    return False if answer.lower() in ("", "n", "no") else answer
