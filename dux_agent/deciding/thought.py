"""What one rank came to in a decision, as the others hear of it."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from dux_agent.deciding.live_ports import DecisionPorts
from dux_agent.deciding.together import Together
from dux_agent.decisions import Decision
from dux_agent.training.training import Training
from dux_agent.training.whole_model import CannotGather
from dux_sandbox.findings import DryRunReport

log = logging.getLogger(__name__)

Think = Callable[[Decision], tuple[DecisionPorts | None, Mapping[str, Any]]]


@dataclass(frozen=True)
class Thought:
    """A decision that is made and has no effect yet; plain data and records of it.

    Attributes:
        observed: there was something to decide on.
        reason: why there was not.
        out: the graph's final state.
        usage: what the calls have cost.
        inbox: the source that passed, if one did.
        dry_runs: reports by source.
        dry_runs_at: step at which each dry run began.
    """

    observed: bool
    reason: str
    out: dict[str, Any]
    usage: dict[str, int | float] = field(default_factory=dict)
    inbox: str | None = None
    dry_runs: dict[str, DryRunReport] = field(default_factory=dict)
    dry_runs_at: tuple[int, ...] = ()

    @classmethod
    def failed(cls, error: Exception) -> Self:
        """That of a decision that could not begin."""
        why = f"the decision failed: {error}"
        log.warning(why)
        return cls(True, why, {"verdict": "failed", "reason": why})

    @classmethod
    def of(
        cls, decision: Decision, ports: DecisionPorts | None, out: Mapping[str, Any]
    ) -> Self:
        """That of the rank that has asked."""
        if ports is None:
            return cls(False, decision.reason, {})
        return cls(
            True,
            decision.reason,
            dict(out),
            ports.usage,
            ports.inbox,
            ports.dry_runs,
            tuple(ports.dry_runs_at),
        )


def shared(
    together: Together,
    training: Training,
    decision: Decision,
    think: Think,
    stop: Callable[[], None],
) -> Thought:
    """What the first rank comes to, on each of them.

    Args:
        think: asks and tries out; called on the first rank alone.
        stop: nobody waits for that any more.

    Raises:
        RanksLost: one of them is gone. On the first: whatever `think` raises.
    """

    def of_this_rank() -> Any:
        if together.leads:
            return Thought.of(decision, *think(decision))
        training.live.guard.follow()
        return None

    try:
        nothing = together.nothing_for_all()
        if nothing is not None:
            log.warning("decision %d: %s", decision.number, nothing)
            return Thought(False, nothing, {})
        try:
            with training.made_whole(keep=together.leads, all_can=together.all_can):
                thought: Thought = together.work(of_this_rank, stop)[0]
        except CannotGather as error:
            thought = _on_shards(together, training, of_this_rank, stop, error)
    except CannotGather as error:
        return Thought.failed(error)
    if thought.observed and not together.leads:
        training.statistics.restart()
    return thought


@contextmanager
def _both_said(why: CannotGather) -> Iterator[None]:
    """Why there is no whole model stands before why its parts cannot be tried."""
    try:
        yield
    except CannotGather as error:
        raise CannotGather(f"{why}; {error}") from error


def _on_shards(
    together: Together,
    training: Training,
    of_this_rank: Callable[[], Any],
    stop: Callable[[], None],
    why: CannotGather,
) -> Thought:
    """The same where no rank can hold the model whole: all try on their parts.

    Raises:
        CannotGather: on all of them, where one cannot do that either; says both.
    """
    if not together.several:
        raise why
    all_can = partial(together.all_can, what="copy its part")
    with _both_said(why), training.on_shards(together, all_can) as shards:
        orders = together.orders(shards.do, stop)
        if together.leads:
            shards.give = orders.give
            thought: Thought = orders.lead(of_this_rank)
        else:
            of_this_rank()
            thought = orders.follow()
        return thought
