"""What later prompts are told of earlier decisions: chat, a table, or the best."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dux_agent.decisions import Decision
from dux_agent.live.guard import NOTHING_PUT_BACK
from dux_agent.training.token_room import TokenRoom
from dux_prompts.brief import render_earlier

Message = dict[str, str]

_MOST_ROWS = 100
_MOST_SHOWN = 15  # of them where they are all that is told
_MOST_BEST = 8
_SUMMARY_CHARACTERS = 160
_CLASS = re.compile(r"^class\s+(\w+)", re.MULTILINE)
_COMMENT = re.compile(r"^\s*#+\s*(\S.*)$", re.MULTILINE)


@dataclass(frozen=True)
class _Talk:
    """The messages of one decision, without the system message."""

    decision: int
    messages: list[Message]

    @property
    def characters(self) -> int:
        return sum(len(message["content"]) for message in self.messages)


class PromptHistory:
    """Earlier decisions, for the prompts.

    With history="chat" the talk of the newest decisions is kept word for word, whole
    decisions at a time, up to `most_characters`; what is older is told by the rows of
    a table. Past that bound the older half goes at once, so that the beginning of a
    prompt, which providers keep and traces write once, stays the same for long. The
    same is done where a prompt would not fit into the model's context window.

    With "compressed" there is the table alone. With "best" there are the best rules
    with their scores, the best one last (OPRO, https://arxiv.org/abs/2309.03409).
    """

    def __init__(self, history: str, most_characters: int) -> None:
        self._history = history
        self._most = most_characters
        self._talks: list[_Talk] = []
        self._rows: list[dict[str, Any]] = []
        self._best: list[dict[str, Any]] = []  # ascending, the best one last
        self._open: tuple[dict[str, Any], Decision] | None = None
        self._by_rows = 0  # number of the last decision that only its row tells of

    @property
    def characters(self) -> int:
        """Length of the talk that is kept word for word."""
        return sum(talk.characters for talk in self._talks)

    @property
    def ended(self) -> list[float]:
        """The training losses with which the last two intervals have ended."""
        fifths = [row["loss_fifths"] for row in self._rows[-2:]]
        return [losses[-1] for losses in fifths if losses]

    def complete(self, loss_fifths: list[float], validation: float | None) -> None:
        """The interval after the last decision is over, and this is how it went."""
        if self._open is None:
            return
        row, decision = self._open
        row |= {"verdict": decision.verdict, "loss_fifths": loss_fifths}
        row["validation_loss"] = validation
        self._rows = [*self._rows, row][-_MOST_ROWS:]
        self._open = None
        loss = validation
        if loss is None and loss_fifths:
            loss = loss_fifths[-1]
        if self._history == "best" and decision.verdict == "applied":
            self._rank(row, decision.source, loss)

    def _rank(
        self, row: Mapping[str, Any], source: str | None, loss: float | None
    ) -> None:
        """Keep a rule among the best, if it is one; a higher score is a lower loss."""
        if source is None or loss is None or not math.isfinite(loss):
            return
        entries = [*self._best, {**row, "source": source, "score": -loss}]
        entries.sort(key=lambda entry: float(entry["score"]))
        # Of a rule that was live twice only its better interval.
        by_source = {str(entry["source"]): entry for entry in entries}
        self._best = sorted(by_source.values(), key=lambda entry: float(entry["score"]))
        while len(self._best) > _MOST_BEST or (
            sum(len(entry["source"]) for entry in self._best) > self._most
            and len(self._best) > 1
        ):
            self._best.pop(0)

    def add(self, decision: Decision, messages: list[Message]) -> None:
        """A decision has been made."""
        if self._history == "chat" and messages:
            copies = [dict(message) for message in messages]
            self._talks = [*self._talks, _Talk(decision.number, copies)]
            if self.characters > self._most:
                self._keep(self._most // 2, or_newest_of=self._most)
        row: dict[str, Any] = {"decision": decision.number, "step": decision.step}
        self._open = (row | {"summary": summary_of(decision)}, decision)

    def shorten(self, *, to_rows: bool = False) -> bool:
        """The model has no room for so much talk: keep half of it, now and later.

        Args:
            to_rows: keep none of it; the next decisions are kept again.

        Returns:
            Whether there was anything to leave out.
        """
        kept = self.characters
        if not self._talks:
            return False
        if to_rows:
            self._keep(0)
        else:
            self._most = kept // 2
            self._keep(self._most)
        return True

    def _keep(self, most: int, *, or_newest_of: int = 0) -> None:
        """Keep the newest talks that have room in `most` characters.

        The very newest may also stay alone, up to `or_newest_of` characters.
        """
        talks = list(self._talks)
        kept = self.characters
        while talks and kept > (or_newest_of if len(talks) == 1 else most):
            gone = talks.pop(0)
            kept -= gone.characters
            self._by_rows = gone.decision
        self._talks = talks

    def fitting(
        self, asked: Sequence[Message], room: TokenRoom, prompts: str | None = None
    ) -> list[Message]:
        """The messages of a call, with as much of earlier decisions as there is room.

        What does not fit goes in this order: the older half of the talk of earlier
        decisions, then their rows, then the oldest tries of this decision.

        Args:
            asked: the messages of this decision, its system message first.
            room: how much the models take.
            prompts: folder of templates of the user's own.

        Raises:
            TooLittleRoom: not even the observation alone fits.
        """
        system = [dict(each) for each in asked if each["role"] == "system"]
        own = [dict(each) for each in asked if each["role"] != "system"]
        with_rows = True
        while True:
            messages = [*system, *self.before(own, prompts, with_rows)]
            over = room.over(messages)
            if over <= 0:
                return messages
            if self._talks:
                left = max(0, self.characters - over)
                self._keep(left // 2, or_newest_of=left)
            elif with_rows:
                with_rows = False
            elif len(own) > 2:
                own[1:3] = []
            else:
                raise room.too_little(messages)

    def before(
        self, asked: list[Message], prompts: str | None = None, with_rows: bool = True
    ) -> list[Message]:
        """Messages of this decision with those of earlier ones in front.

        Rows of decisions whose talk is not kept stand above the first message of the
        user, so that roles still take turns.

        Args:
            asked: without a system message.
            prompts: folder of templates of the user's own.
            with_rows: also the rows.
        """
        talk = [message for each in self._talks for message in each.messages]
        messages = [dict(message) for message in (*talk, *asked)]
        rows = [row for row in self._rows if row["decision"] <= self._by_rows]
        if self._history != "chat" or not rows or not messages or not with_rows:
            return messages
        told = render_earlier(rows, count=self._by_rows, folder=prompts)
        messages[0]["content"] = f"{told}\n{messages[0]['content']}"
        return messages

    def table(self) -> list[dict[str, Any]]:
        """The rows a prompt shows: none where the chat itself is the history."""
        if self._history == "chat":
            return []
        rows = self._best if self._history == "best" else self._rows[-_MOST_SHOWN:]
        return [dict(row) for row in rows]

    def state_dict(self) -> dict[str, Any]:
        """Messages, rows and how many characters are kept, as plain data."""
        return {
            "chat": [
                dict(message) for talk in self._talks for message in talk.messages
            ],
            "talks": [[talk.decision, len(talk.messages)] for talk in self._talks],
            "by_rows": self._by_rows,
            "most": self._most,
            "rows": [dict(row) for row in self._rows],
            "best": [dict(row) for row in self._best],
            "open": None if self._open is None else dict(self._open[0]),
        }

    def load_state_dict(
        self, state: Mapping[str, Any], decisions: list[Decision]
    ) -> None:
        """Go on from what `state_dict` gave, now or before talks were told apart."""
        chat = [dict(message) for message in state["chat"]]
        for message in chat:
            if not all(isinstance(message.get(k), str) for k in ("role", "content")):
                raise ValueError("a message without a role or a text")
        last = decisions[-1].number if decisions else 0
        talks: list[_Talk] = []
        for decision, count in state.get("talks", [[last, len(chat)]]):
            talks.append(_Talk(int(decision), chat[:count]))
            chat = chat[count:]
        self._talks = [talk for talk in talks if talk.messages]
        self._by_rows = int(state.get("by_rows", 0))
        self._most = min(self._most, int(state.get("most", self._most)))
        self._rows = [dict(row) for row in state["rows"]]
        self._best = [
            {**row, "source": str(row["source"]), "score": float(row["score"])}
            for row in state.get("best", ())
        ]
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
    left = decision.verdict == "rolled_back" and NOTHING_PUT_BACK in decision.reason
    return {
        "verdict": "left" if left else decision.verdict,
        "reason": decision.reason,
        "findings": findings,
    }
