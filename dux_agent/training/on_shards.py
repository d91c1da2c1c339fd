"""A sharded training that no rank can hold whole: all of them try on their parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from dux_agent.training.by_parts import found_by_parts
from dux_agent.training.sharded_copy import ShardedCopies
from dux_agent.training.trial import Trained, Trial
from dux_sandbox.dry_runs.lockstep import Lockstep
from dux_sandbox.dry_runs.scratch import clone_model
from dux_sandbox.dry_runs.slices import result_of
from dux_sandbox.findings import DryRunReport
from dux_sandbox.running import parameters_of
from dux_sandbox.shards import own_part, reshard, shape_of

Value = TypeVar("Value")
Order = Trial | None


class Partners(Lockstep, Protocol):
    """The ranks of a training, as far as they try a proposal together."""

    def gather(self, value: Value) -> list[Value]:
        """What every rank gave, however long that takes one of them."""


class OnShards:
    """What all ranks do together where the first one decides.

    Attributes:
        give: has all ranks `do` something, this one too; the first rank's alone.
    """

    def __init__(self, training: Trained, together: Partners) -> None:
        """Nothing is made yet."""
        self._training, self._together = training, together
        self._copies = ShardedCopies(training.model)
        self.give: Callable[[Order], Any] = self.do

    def begin(self) -> None:
        """Make a first copy, which shows that it can be done.

        Raises:
            ValueError: the training cannot be tried so.
            Whatever copying a module raises.
        """
        if self._training.live.passes_closure:
            raise ValueError("its loop passes a closure to step")
        self._copies.open()
        clone_model(self._training.model, self._copies.copy)

    def close(self) -> None:
        """Let go of what copies were made with."""
        self._copies.close()

    def validation_loss(self) -> float:
        """The mean of what `validate` gives on each rank; the first rank asks."""
        loss: float = self.give(None)
        return loss

    def tried(self, trial: Trial) -> DryRunReport:
        """The dry run; the first rank asks."""
        live, limits = self._training.live, self._training.settings.limits
        parts = [own_part(each).shape for each in parameters_of(live.param_groups)]
        wholes = [
            {"params": [shape_of(each) for each in group["params"]]}
            for group in live.param_groups
        ]
        found = found_by_parts(trial.source, wholes, parts, limits)
        if found is not None:
            return trial.refused(found)
        report: DryRunReport = self.give(trial)
        return report

    def do(self, order: Order) -> Any:
        """What the first rank has asked for; all ranks do it together.

        Args:
            order: None: validate.
        """
        training, together = self._training, self._together
        if order is None:
            own = self.alike(training.functions.validation_loss)
            reshard(training.model)
            return training.validated(together.gather(cast(float, own)))
        run = order.on(training, clone=self._copies.copy, together=self)
        reports = together.gather(result_of(run))
        return next((each for each in reports if not each.ok), reports[0])

    def alike(self, do: Callable[[], Value]) -> Value:
        """See `Lockstep.alike`; after what one rank raised copies talk anew."""
        try:
            return self._together.alike(do)
        except Exception:
            self._copies.torn = True
            raise

    def mean(self, loss: float) -> float:
        """See `Lockstep.mean`."""
        return self._together.mean(loss)
