"""Asks a person about a proposal that passed: what it changes, and yes or no."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from dux_agent.terminal.decision_text import clean_lines, print_diff
from dux_agent.terminal.progress import TrainingDisplay

_QUESTION = "Let it go live? [y/n, or what to do otherwise] "


class Person:
    """Whoever sits at the terminal; what `dux_graphs.approval.Approve` describes."""

    def __init__(self, console: Console, display: TrainingDisplay) -> None:
        """They read what is printed on `console`, while `display` stands still."""
        self._console, self._display = console, display

    def __call__(self, proposal: Mapping[str, Any]) -> bool | str:
        """Yes, no, or a text for the language model; no where nobody answers."""
        with self._display.standing_still():
            print_diff(self._console, clean_lines(str(proposal["diff"])))
            for name in ("losses", "incumbent_losses"):
                losses = ", ".join(f"{loss:.4g}" for loss in proposal[name])
                words = name.replace("_", " ")
                self._console.print(f"{words} of the dry run: {losses or 'none'}")
            try:
                answer = self._console.input(_QUESTION).strip()
            except EOFError:
                return False
        if answer.lower() in ("y", "yes"):
            return True
        return False if answer.lower() in ("", "n", "no") else answer
