"""A decision that is being made in the background, until it is over or given up."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dux_agent.deciding.background import BackgroundWork
from dux_agent.deciding.live_ports import DecisionPorts
from dux_agent.deciding.outcome import failed, kept
from dux_agent.decisions import Decision, Verdict

log = logging.getLogger(__name__)

_UNDER_WAY = "it is being decided while training goes on"
_MOST_SECONDS = 150.0  # a check and a dry run end long before


@dataclass(eq=False)
class Pending:
    """What is being decided, and what of it is in the caller's hands already.

    Attributes:
        decision: was handed out; it is filled in when all is over.
        ports: what it has cost so far.
        work: its thread.
        began: when, seconds of the performance counter.
    """

    decision: Decision
    ports: DecisionPorts
    work: BackgroundWork
    began: float

    def start(self) -> None:
        """Begin."""
        self.decision.reason = _UNDER_WAY
        self.work.start()

    def give_up(self, because: str) -> None:
        """End it, as soon as its thread can end; nothing of it goes live."""
        self.ports.paid.give_up(because)
        if not self.work.cancel(_MOST_SECONDS, because):
            log.warning("the language model still hangs; its thread ends with it")
        self.end("kept", because)

    def outcome(self) -> Mapping[str, Any]:
        """What the graph came to, when the thread is over; see `DecisionState`.

        Raises:
            Whatever is the caller's own: of their objective, or an interrupt.
        """
        work, ports = self.work, self.ports
        if work.error is not None:
            if not isinstance(work.error, Exception):
                raise work.error
            return failed(work.error, ports)
        out: dict[str, Any] = work.result
        if ports.inbox is None or ports.meanwhile is None:
            return out
        spoilt = ports.meanwhile.spoilt()
        return out if spoilt is None else out | kept(spoilt)

    def end(self, verdict: Verdict, reason: str) -> None:
        """Say what came of it to whoever holds the decision."""
        decision = self.decision
        decision.verdict, decision.reason = verdict, reason
        decision.usage = self.ports.usage
        decision.seconds = time.perf_counter() - self.began
