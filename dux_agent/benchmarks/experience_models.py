"""Scripted models that fill a library and draw on it; none is a language model."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dux_graphs.offline.deciding import decide
from dux_graphs.offline.model import OfflineRules, WrittenModel
from dux_graphs.offline.plan import FAMILIES, Plan
from dux_graphs.offline.reading import read_chat
from dux_graphs.offline.taught import split
from dux_graphs.offline.writing import write_source

CLEARLY = 0.1
"""Another kind is taken where its loss fell by this share more than that of ours."""

FARTHEST = 3.0
"""So far a rate is moved at most."""

_DECADES = 1.0  # that the explorer's rates lie around the rules'
_SOURCE = re.compile(r"^(`{3,})python\n(.*?)\n\1$", re.DOTALL | re.MULTILINE)
_ENTRY = re.compile(
    r"^- (?P<where>[^\n]*)\n"
    r"  proposed: [^\n]*\((?P<family>\w+) at (?P<rate>[\d.e+-]+)\)\n"
    r"  what came of it: (?:applied|trained); loss (?P<change>[-+][\d.]+) %",
    re.MULTILINE,
)
_BASE = re.compile(r"; base (\w+)(?:;|$)")
_LIVE = re.compile(r"; live (\w+)")


class Explorer(WrittenModel):
    """The offline rules with a kind and a rate that are drawn."""

    model_name: str = "explorer"
    seed: int = 0

    def answer(self, chat: Sequence[tuple[str, str]]) -> str:
        """Another optimizer for each seed; for the same prompt the same."""
        draw = random.Random(f"{self.seed}:{chat[-1][1]}")
        plan = decide(read_chat(chat))
        times = 10 ** draw.uniform(-_DECADES, _DECADES)
        family, rate = draw.choice(FAMILIES), plan.lr * times
        return _reply(replace(plan, family=family, lr=rate, adam_lr=0.6 * rate))


class Follower(WrittenModel):
    """Proposes the source that the prompt shows of other trainings, if there is one.

    Else what the offline rules say.
    """

    model_name: str = "follower"

    def answer(self, chat: Sequence[tuple[str, str]]) -> str:
        """The first source in that part of the last prompt."""
        found = _SOURCE.search(_shown(chat))
        if found is None:
            return OfflineRules().answer(chat)
        return f"```python\n{found[2]}\n```\n"


class Drawer(WrittenModel):
    """The offline rules, whose first proposal draws on first ones of other trainings.

    It takes the kind and the rate of the one whose loss fell clearly further; of the
    same kind its own rate goes half of the way, as logarithms go, to that one's.
    """

    model_name: str = "drawer"

    def answer(self, chat: Sequence[tuple[str, str]]) -> str:
        """A complete optimizer class, in one block."""
        figures = read_chat(chat)
        plan = decide(figures)
        if figures.source:
            return _reply(plan)
        return _reply(_drawn(plan, _shown(chat), muon=figures.matrices))


def _drawn(plan: Plan, shown: str, *, muon: bool) -> Plan:
    # Where no matrix is hidden Muon would be Adam alone.
    kinds = {*FAMILIES} - (set() if muon else {"muon"})
    firsts = [each for each in _firsts(shown) if each[1] in kinds]
    change, family, rate = min(firsts, default=(0.0, "", 0.0))
    ours = min((c for c, kind, _ in firsts if kind == plan.family), default=0.0)
    other = family != plan.family
    if change > -CLEARLY or (other and change >= ours - CLEARLY):
        return plan
    # The rates of two kinds are in scales of their own.
    moved = rate if other else math.sqrt(plan.lr * rate)
    if not other:
        moved = min(max(moved, plan.lr / FARTHEST), plan.lr * FARTHEST)
    share = plan.adam_lr / plan.lr if plan.adam_lr else 0.6
    return replace(plan, family=family, lr=moved, adam_lr=share * moved)


def _firsts(shown: str) -> Iterator[tuple[float, str, float]]:
    """Change of the loss, kind and rate of what followed a base optimizer."""
    for found in _ENTRY.finditer(shown):
        base, live = _BASE.search(found["where"]), _LIVE.search(found["where"])
        if live is None or (base is not None and base[1] == live[1]):
            yield float(found["change"]) / 100, found["family"], float(found["rate"])


def _shown(chat: Sequence[tuple[str, str]]) -> str:
    """What the last prompt shows of other trainings."""
    return split([text for role, text in chat if role == "human"][-1])[1]


def _reply(plan: Plan) -> str:
    return f"```python\n{write_source(plan)}```\n"
