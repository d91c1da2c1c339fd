"""The decisions whose rules are live or wait, and what is told when one ends."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from dux_agent.choices import LrOwner
from dux_agent.decisions import Decision
from dux_agent.live.priming import Primed, prime
from dux_agent.run_folder.events import RollbackEvent
from dux_agent.run_folder.recorder import Recorder
from dux_agent.run_folder.watchers_word import PAUSED
from dux_agent.training.training import Training
from dux_graphs.events import ErrorEvent, EventBody

log = logging.getLogger(__name__)


class RulesInForce:
    """Follows the rules of one agent from the swap to their end.

    Attributes:
        decisions: every decision so far.
        harmful: digests that were rolled back in this run, with the reason.
    """

    def __init__(self, training: Training, recorder: Recorder) -> None:
        """No rule of a decision's is live yet."""
        self.decisions: list[Decision] = []
        self.harmful: dict[str, str] = {}
        self._live = training.live
        self._statistics = training.statistics
        self._recorder = recorder
        self._applied: Decision | None = None  # whose rule is live
        self._before: Decision | None = None  # whose rule is the incumbent
        guard = self._live.guard
        guard.on_rollback = self.rolled_back
        guard.on_outgrown = lambda reason: self.rolled_back(reason, harmful=False)
        guard.on_ended, guard.on_lost = self.ended, self.incumbent_lost
        guard.on_relapse = self.relapsed
        self._live.on_fallen = self.fallen

    @property
    def last_made(self) -> Decision | None:
        """The newest decision that no pause kept from being made."""
        made = (each for each in reversed(self.decisions) if each.reason != PAUSED)
        return next(made, None)

    def next_number(self) -> int:
        """Of the decision that is made next."""
        return max((each.number for each in self.decisions), default=0) + 1

    def applied(self, decision: Decision) -> None:
        """The rule of this decision is live, and the one before waits behind it."""
        self._applied, self._before = decision, self._applied

    def rolled_back(self, reason: str, *, harmful: bool = True) -> None:
        """The guard has taken a rule out; say so wherever it is looked for.

        Args:
            reason: why.
            harmful: the very same source is not to be tried again.
        """
        decision, self._applied = self._applied, self._before
        self._before = None
        rule = self._live.guard.ended
        if decision is None and rule is not None:
            # It came from a checkpoint, without a decision of this run's.
            decision = Decision(
                "kept",
                source=rule.source,
                digest=rule.digest,
                step=self._statistics.step,
                number=self.next_number(),
            )
            self.decisions.append(decision)
        if decision is None:
            return
        decision.verdict = "rolled_back"
        decision.reason = reason
        if harmful and decision.digest is not None:
            self.harmful[decision.digest] = reason
        self._tell(RollbackEvent(digest=decision.digest, reason=reason), decision)
        log.info("decision %d was rolled back: %s", decision.number, reason)

    def ended(self, reason: str) -> None:
        """The live rule has given way to a checkpoint that holds another."""
        self.rolled_back(reason, harmful=False)
        self._applied = self._before = None

    def incumbent_lost(self, reason: str) -> None:
        """The rule that would have come back is gone; the base optimizer would."""
        decision, self._before = self._before, None
        message = f"the incumbent is lost: {reason}; the base optimizer is next"
        self._tell(ErrorEvent(error="incumbent", message=message), decision)

    def fallen(self, mode: str, why: str) -> None:
        """A step of the live rule could not be recorded any more."""
        applied = self._applied
        digest = None if applied is None else applied.digest
        body = ErrorEvent(error="unrecorded", message=why, digest=digest, mode=mode)
        self._tell(body, applied)

    def relapsed(self, reason: str) -> None:
        """What the last rollback had put back was spoilt; no other rule is to blame."""
        ended = next((d for d in reversed(self.decisions) if d.digest), None)
        digest = None if ended is None else ended.digest
        self._tell(RollbackEvent(digest=digest, reason=reason), ended)
        log.warning("%s", reason)

    def _tell(self, body: EventBody, decision: Decision | None) -> None:
        number = None if decision is None else decision.number
        self._recorder.tell(body, step=self._statistics.step, decision=number)

    def prime(self, source: str | None, lr_owner: LrOwner) -> Primed:
        """Make a rule live without a decision; None: the base optimizer stays.

        Raises:
            SourceRejected, RuleFailed: it cannot be; nothing was changed.
        """
        live = self._live
        if source is None:
            names = tuple(name for name in live.param_groups[0] if name != "params")
            log.info("the checkpoint holds no rule; the base optimizer stays live")
            return Primed(None, (), names)
        before = live.running
        primed = prime(live, source, lr_owner)
        self._recorder.keep_source(source)
        if before is not live.base_rule:
            live.guard.tell_ended(before, "another rule was primed")
        self._applied = self._before = None
        log.info(
            "rule %s is live without a decision, with %s in its state",
            str(primed.digest)[:12],
            ", ".join(primed.state) or "nothing",
        )
        return primed

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "harmful": dict(self.harmful),
            "applied": None if self._applied is None else self._applied.number,
            "before": None if self._before is None else self._before.number,
        }

    def prepare(
        self, state: Mapping[str, Any], decisions: list[Decision]
    ) -> Callable[[], None]:
        """Read what `state_dict` gave; what is returned makes it go on from there.

        Call that when the rules are live again.
        """
        harmful = {str(digest): str(why) for digest, why in state["harmful"].items()}
        numbered = {each.number: each for each in decisions}
        applied = numbered.get(state["applied"])
        before = numbered.get(state.get("before", 0))  # numbers begin at 1

        def take_over() -> None:
            self.decisions[:] = decisions
            self.harmful.clear()
            self.harmful.update(harmful)
            self._applied = applied
            self._before = None if self._live.guard.waiting is None else before

        return take_over
