"""What later prompts are told of earlier decisions: the chat, or a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dux_agent.decisions import Decision

_MOST_ROWS = 100
_SUMMARY_CHARACTERS = 160
_CLASS = re.compile(r"^class\s+(\w+)", re.MULTILINE)
_COMMENT = re.compile(r"^\s*#+\s*(\S.*)$", re.MULTILINE)


class Chronicle:
    """Earlier decisions, for the prompts.

    Attributes:
        chat: messages of earlier decisions without system messages (history="chat").
        rows: one row a decision (history="compressed").
    """

    def __init__(self, history: str) -> None:
        self._history = history
        self.chat: list[dict[str, str]] = []
        self.rows: list[dict[str, Any]] = []
        self._open: tuple[dict[str, Any], Decision] | None = None

    def complete(self, loss_fifths: list[float], validation: float | None) -> None:
        """The interval after the last decision is over, and this is how it went."""
        if self._open is None:
            return
        row, decision = self._open
        row |= {
            "verdict": decision.verdict,
            "loss_fifths": loss_fifths,
            "validation_loss": validation,
        }
        self.rows = [*self.rows, row][-_MOST_ROWS:]
        self._open = None

    def add(self, decision: Decision, messages: list[dict[str, str]]) -> None:
        """A decision has been made."""
        if self._history == "chat":
            self.chat.extend(dict(message) for message in messages)
        row = {
            "decision": decision.number,
            "step": decision.step,
            "summary": summary_of(decision),
        }
        self._open = (row, decision)

    def table(self) -> list[dict[str, Any]]:
        """The rows a prompt shows: none where the chat itself is the history."""
        return [] if self._history == "chat" else [dict(row) for row in self.rows]

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "chat": [dict(message) for message in self.chat],
            "rows": [dict(row) for row in self.rows],
            "open": None if self._open is None else dict(self._open[0]),
        }

    def load_state_dict(
        self, state: Mapping[str, Any], decisions: list[Decision]
    ) -> None:
        """Go on from what `state_dict` gave."""
        self.chat = [dict(message) for message in state["chat"]]
        self.rows = [dict(row) for row in state["rows"]]
        self._open = None
        if state["open"] is not None and decisions:
            self._open = (dict(state["open"]), decisions[-1])


def summary_of(decision: Decision) -> str:
    """A decision in a few words: the rule's name and the first comment in it."""
    source = decision.source
    if source is None and decision.attempts:
        source = decision.attempts[-1].get("source")
    if not source:
        return decision.reason[:_SUMMARY_CHARACTERS]
    name = _CLASS.search(source)
    comment = _COMMENT.search(source)
    parts = [found.group(1).strip() for found in (name, comment) if found is not None]
    return ": ".join(parts)[:_SUMMARY_CHARACTERS]


def told_to_the_model(decision: Decision | None) -> dict[str, Any] | None:
    """What became of the last proposal, for the next prompt."""
    if decision is None:
        return None
    findings: list[dict[str, Any]] = []
    if decision.verdict == "kept" and decision.attempts:
        findings = list(decision.attempts[-1].get("findings", ()))
    return {
        "verdict": decision.verdict,
        "reason": decision.reason,
        "findings": findings,
    }
