"""Several ranks as one: one loss, one verdict of the guard, one decision."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import torch

from dux_agent.deciding.beating import Beating
from dux_agent.deciding.nothing_to_try import NOT_FINITE
from dux_agent.deciding.orders import Orders
from dux_agent.errors import RanksLost
from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.integrity import all_finite
from dux_agent.refusals import refuse_uneven
from dux_agent.training.ranks import Ranks
from dux_agent.training.whole_model import CannotGather, done_by_all
from dux_sandbox.dry_runs.scratch import CannotClone, out_of_memory
from dux_sandbox.findings import Finding, RuleFailed, SourceRejected
from dux_sandbox.replaying.agreeing import CANNOT
from dux_sandbox.running import parameters_of
from dux_sandbox.shards import own_part, place_of

Value = TypeVar("Value")


class Together:
    """What the ranks of one training agree on; one rank alone agrees with itself.

    Each method is called by all of them, equally often and in the same order.

    Attributes:
        several: there are others.
    """

    def __init__(self, ranks: Ranks, live: GuardedSlot) -> None:
        """Agree on what becomes of `live`."""
        self._ranks, self._live = ranks, live
        self._due = False  # what the ranks agree on in a step that is recorded
        self.several = ranks.count > 1
        self._put_back = live.guard.put_back
        if self.several:
            live.guard.agree, live.guard.alone = self._agree, False

    @property
    def leads(self) -> bool:
        """Whether this rank asks, tries and records."""
        return self._ranks.rank == 0

    def mean(self, loss: float) -> float:
        """The mean of the losses of all ranks."""
        if not self.several:
            return loss
        losses = self._ranks.gather(float(loss))
        return sum(losses) / len(losses)

    def step_begins(self) -> None:
        """See `catch_up`; a recorded rule will ask how all ranks can take the step.

        Raises:
            BadArgument: see `refuse_uneven`.
        """
        if not self.several:
            return
        refuse_uneven(self._live.guard.model)
        self.catch_up()
        rule: Any = self._live.running
        self._due = getattr(rule, "mode", None) == "recorded"
        if self._due:
            rule.agree = self._least

    def catch_up(self) -> None:
        """Roll back what another rank has rolled back between two steps.

        As where the process of a rule died while one rank saved its state.
        """
        if not self.several:
            return
        guard = self._live.guard
        mine = guard.put_back - self._put_back
        # Both in one number: each message costs a step some time.
        gathered = self._ranks.gather(2.0 * mine + self._isolated)
        told = [divmod(int(each), 2) for each in gathered]
        for _ in range(max(back for back, _ in told) - mine):
            guard.breach("another rank has rolled it back")
        self._put_back = guard.put_back
        if any(isolated for _, isolated in told):
            self._go_isolated()

    @property
    def _isolated(self) -> bool:
        return getattr(self._live.running, "mode", None) == "isolated"

    def same_execution(self) -> None:
        """Where one rank could not record the live rule, none does.

        The weights of a recorded rule and of the same isolated are not the same bits.
        """
        if self.several and any(self._ranks.gather(float(self._isolated))):
            self._go_isolated()

    def _go_isolated(self) -> None:
        rule: Any = self._live.running
        if getattr(rule, "mode", None) == "recorded":
            try:
                rule.stay_isolated("cannot be recorded on another rank")
            except RuleFailed as failed:
                self._live.guard.breach(f"the rule failed: {failed.finding}")

    def _least(self, here: float) -> float:
        """What all ranks can do in this step; see `RecordedRule.agree`."""
        if not self._due:
            return here
        self._due = False
        return min(self._ranks.gather(here))

    def _agree(self, reason: str | None) -> str | None:
        """What one rank finds against a step holds on all of them."""
        self._least(CANNOT)  # the rule of this rank failed before it asked
        found = self._ranks.gather(0.0 if reason is None else 1.0)
        if not any(found):
            return None
        reasons = enumerate(self._ranks.gather(reason))
        self._due = True  # the predecessor takes the step, and may be recorded, too
        return next(f"rank {rank}: {each}" for rank, each in reasons if each)

    def nothing_for_all(self) -> str | None:
        """Why no rule can serve all ranks, or None.

        Their weights must be the same, and finite on each: one alone sees of sharded
        ones its part.

        Raises:
            CannotGather: on all of them, where one cannot say.
        """
        if not self.several:
            return None
        parameters = parameters_of(self._live.param_groups)
        sums = done_by_all(lambda: [*map(_sums, parameters)], self.all_can)
        told = self._ranks.gather((all_finite(parameters), sums or []))
        for rank, (finite, _) in enumerate(told):
            if not finite:
                return f"on rank {rank} {NOT_FINITE}"
        all_sums = [each for _, each in told]
        other = [rank for rank, each in enumerate(all_sums) if _apart(each, all_sums)]
        if not other:
            return None
        return (
            f"the weights of rank {other[0]} are not those of rank 0, so that no rule "
            f"can be tried for all; wrap the model in DistributedDataParallel"
        )

    def work(
        self, do: Callable[[], Value], stop: Callable[[], None] = lambda: None
    ) -> list[Value]:
        """What every rank comes to by itself; nobody gives up one that is at work.

        Args:
            do: what may take long on this rank; it gives plain data, or records of it.
            stop: called on another thread where one of the others is gone: nobody
                waits for the end any more.

        Raises:
            RanksLost: another rank is gone, or has failed. Whatever `do` raises.
        """
        if not self.several:
            return [do()]
        raised: BaseException | None = None
        own: tuple[str, Any] = ("told", None)
        with Beating(self._ranks, stop):
            try:
                own = ("told", do())
            except BaseException as error:
                raised, own = error, ("error", f"{type(error).__name__}: {error}")
        ends = self._ranks.gather(own)
        if raised is not None:
            raise raised
        for rank, (kind, told) in enumerate(ends):
            if kind == "error":
                raise RanksLost(
                    f"rank {rank} has failed in a decision ({told}); one that ends was "
                    f"wanted; mend that first."
                )
        results: list[Any] = [told for _, told in ends]
        return results

    def gather(self, value: Value) -> list[Value]:
        """What every rank gave, however long that takes one of them.

        Raises:
            RanksLost: one is gone.
        """
        return self.work(lambda: value)

    def orders(self, do: Callable[[Any], Any], stop: Callable[[], None]) -> Orders[Any]:
        """Those of the first rank; see `Orders`."""
        return Orders(self._ranks, do, stop)

    def alike(self, do: Callable[[], Value]) -> Value:
        """What `do` gives here; what it raises on one rank ends it on all.

        Raises:
            RuleFailed: a rank has raised that; of several the first.
            CannotGather: one had no memory for it.
            RanksLost: one is gone, or has raised anything else, as this one does then.
        """
        with Beating(self._ranks) as beating:
            try:
                done = do()
            except BaseException as error:
                beating.raised = error
        if not beating.failed:
            return done
        first, own = beating.failed[0], beating.raised
        trouble = self._ranks.gather(_Trouble.of(own))[first]
        if trouble.ours:
            said = f"rank {first} could not try on its part: {trouble.said}"
            raise CannotGather(said) from own
        if own is not None and first == self._ranks.rank:
            raise own
        if trouble.finding is not None:
            said = f"on rank {first}: {trouble.finding.message}"
            raise RuleFailed(replace(trouble.finding, message=said)) from own
        raise RanksLost(
            f"rank {first} has failed in a dry run ({trouble.said}); one that ends was "
            f"wanted; mend that first."
        ) from own

    def all_can(self, trouble: str | None, what: str = "make the model whole") -> None:
        """Every rank can go on, or none does.

        Args:
            trouble: why this one cannot.
            what: it could not do.

        Raises:
            CannotGather: on all of them, where one cannot.
        """
        for rank, each in enumerate(self._ranks.gather(trouble)):
            if each is not None:
                raise CannotGather(f"rank {rank} could not {what}: {each}")

    def all_or_none(self, do: Callable[[], bool]) -> None:
        """Every rank does something, or none can.

        Args:
            do: says whether it has.

        Raises:
            RanksLost: some have. Whatever `work` raises.
        """
        if len(set(self.work(do))) > 1:
            raise RanksLost(
                "a rule went live on some ranks and failed on others after it had been "
                "built on all; the same rule on all was wanted; begin again from a "
                "checkpoint."
            )


@dataclass(frozen=True)
class _Trouble:
    """What a rank has raised, as the others hear of it.

    Attributes:
        finding: against a rule; None: it is no rule's fault.
        ours: nor the caller's: there was no memory for it, or no copy of the model.
    """

    said: str
    finding: Finding | None
    ours: bool

    @classmethod
    def of(cls, error: BaseException | None) -> Self:
        """That of one who has raised this; None: it has raised nothing."""
        finding = error.finding if isinstance(error, RuleFailed) else None
        if isinstance(error, SourceRejected):
            finding = error.report.findings[0]
        short = isinstance(error, BaseException) and out_of_memory(error)
        ours = short or isinstance(error, CannotClone)
        return cls(f"{type(error).__name__}: {error}", finding, ours)


Sums = list[tuple[tuple[int, ...], float, float]]


def _sums(parameter: torch.Tensor) -> tuple[tuple[int, ...], float, float]:
    """Of what is here of a parameter, and which part of it that is."""
    values = own_part(parameter.detach()).double()
    return place_of(parameter), float(values.sum()), float(values.square().sum())


def _apart(mine: Sums, all_sums: list[Sums]) -> bool:
    """Whether these are not those of the first rank that holds the same parts."""
    places = [place for place, *_ in mine]
    alike = (each for each in all_sums if [place for place, *_ in each] == places)
    return mine != next(alike)
