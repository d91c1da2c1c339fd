"""The events of a run as they come, kept within bounds: a trace has any size."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from dux_agent.run_folder.events import LossEvent
from dux_agent.run_folder.trace import Event

# Of steps: several for each point that is drawn.
_MOST_LOSSES = 8_000
# Of whatever else belongs to no decision: epochs, rollbacks, errors.
_MOST_OTHERS = 8_000
# Decisions that are kept whole, and the characters they may have together.
MOST_WHOLE = 40
_MOST_CHARACTERS = 24_000_000
# And those of which the verdict is kept, and what it cost.
_MOST_DECISIONS = 4_000
_OUTLINE = ("apply", "rollback")
_MOST_ENDS = 50
# Characters of an event of any of these; ours are a fraction of it.
_MOST_OF_ONE = 50_000
_OF_A_VALUE = 50  # characters that a number or a name counts as


class Gathered:
    """What is kept of a run.

    Of the losses of steps the lowest and highest of neighbours are kept where there
    are many, so a curve keeps its band. Of older decisions there is the outline:
    verdict, cost and when.

    Attributes:
        events: how many there were.
        left_out: older decisions of which nothing is kept.
        began, ended: seconds since 1970, of the first and the last of them.
        agent_began: of the first that is not the control's.
    """

    def __init__(self) -> None:
        self.events = self.left_out = 0
        self.began = self.ended = self.agent_began = 0.0
        self._losses: list[Event] = []
        self._others: list[Event] = []
        self._decisions: dict[int, list[Event]] = {}
        self._weights: dict[int, int] = {}  # of those that are kept whole, characters

    @property
    def whole(self) -> frozenset[int]:
        """The decisions that are kept whole, by number."""
        return frozenset(self._weights)

    def take(self, events: Iterable[Event]) -> None:
        """These happened next."""
        for event in events:
            self._see(event)
            body = event.body
            if event.decision is not None and not isinstance(body, LossEvent):
                self._of_a_decision(event, event.decision)
            elif _size(event.data) > _MOST_OF_ONE:
                continue
            elif isinstance(body, LossEvent) and body.scope is None:
                self._losses.append(event)
            else:
                self._others.append(event)
            if len(self._losses) > _MOST_LOSSES:
                self._losses = thinned_losses(self._losses)
            if len(self._others) > _MOST_OTHERS:
                half = _MOST_OTHERS // 2
                self._others = self._others[:half:2] + self._others[half:]

    def kept(self) -> list[Event]:
        """All that is kept; of each decision in order."""
        told = [event for events in self._decisions.values() for event in events]
        return [*self._others, *self._losses, *told]

    def _see(self, event: Event) -> None:
        self.began = min(self.began, event.time) if self.events else event.time
        self.ended = max(self.ended, event.time)
        self.events += 1
        body = event.body
        if not (isinstance(body, LossEvent) and body.scope == "control"):
            self.agent_began = self.agent_began or event.time

    def _of_a_decision(self, event: Event, number: int) -> None:
        if number in self._decisions and number not in self._weights:
            self._decisions[number] = _outlined([*self._decisions[number], event])
            return
        self._decisions.setdefault(number, []).append(event)
        self._weights[number] = self._weights.get(number, 0) + _weight(event)
        while len(self._weights) > MOST_WHOLE or (
            sum(self._weights.values()) > _MOST_CHARACTERS
        ):
            self._outline(min(self._weights))
        while len(self._decisions) > _MOST_DECISIONS:
            self.left_out += 1
            del self._decisions[min(self._decisions)]

    def _outline(self, number: int) -> None:
        self._decisions[number] = _outlined(self._decisions[number])
        del self._weights[number]


def _outlined(events: list[Event]) -> list[Event]:
    """When a decision began and how it ended."""
    first, *later = events
    ends = [event for event in later if event.kind in _OUTLINE]
    ends = [event for event in ends if _size(event.data) <= _MOST_OF_ONE]
    return [replace(first, data={}), *ends[-_MOST_ENDS:]]


def thinned_losses(losses: list[Event]) -> list[Event]:
    """Half of them: the lowest and the highest of every four; the last four stay."""
    kept = []
    for at in range(0, len(losses) - 4, 4):
        four = losses[at : at + 4]
        low, high = min(four, key=_loss), max(four, key=_loss)
        kept += [low] if low is high else [each for each in four if each in (low, high)]
    return kept + losses[-4:]


def _loss(event: Event) -> float:
    body = event.body
    loss = body.loss if isinstance(body, LossEvent) else None
    return math.inf if loss is None or math.isnan(loss) else loss


def _weight(event: Event) -> int:
    """Characters that an event takes; a prompt shares what was said before."""
    messages, same = event.data.get("messages"), event.data.get("same")
    if isinstance(messages, list) and isinstance(same, int):
        return _size({**event.data, "messages": messages[max(same, 0) :]})
    return _size(event.data)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return _OF_A_VALUE + len(value)
    if isinstance(value, dict):
        return sum(_OF_A_VALUE + _size(part) for part in value.values())
    if isinstance(value, list):
        return sum(map(_size, value))
    return _OF_A_VALUE
