"""One scheduler that is followed: whether it stepped, and what it made of a rate."""

from collections.abc import Sequence
from typing import Any
from weakref import ref

import torch

from dux_agent.live.group_options import copied
from dux_agent.live.rates import told_apart
from dux_agent.live.schedulers import (
    epoch_of,
    goes_by_a_metric,
    may_be_asked,
    overwrites,
)
from dux_agent.live.shadow import OwnRates, Shadow
from dux_sandbox.group_shares import number_in

Numbers = Sequence[float | None]
_MOST_EACH_STEP = 4.0


class Followed:
    """A scheduler, held weakly, with a mark at where it was seen last."""

    def __init__(self, scheduler: Any) -> None:
        """Follow it from where it stands."""
        self._scheduler = ref(scheduler)
        self.overwrites = overwrites(scheduler)
        self._by_metric = goes_by_a_metric(scheduler)
        self._shadow: Shadow | None = None
        self._mark: Any = None
        self.mark()

    @property
    def scheduler(self) -> Any:
        """It, or None when it is gone."""
        return self._scheduler()

    @property
    def moved(self) -> bool:
        """Whether it has finished a step, or was loaded, since it was marked."""
        scheduler = self._scheduler()
        if scheduler is None:
            return False
        attributes = vars(scheduler)
        last = attributes.get("_last_lr")
        if last is not None:
            return last is not self._mark  # a new list is the last act of every step
        return bool(attributes.get("last_epoch") != self._mark)

    def mark(self) -> None:
        """It was seen as it stands now."""
        scheduler = self._scheduler()
        if scheduler is not None:
            attributes = vars(scheduler)
            last = attributes.get("_last_lr")
            self._mark = attributes.get("last_epoch") if last is None else last

    def shade(self, rates: OwnRates, optimizers: Sequence[Any]) -> None:
        """Make its shadow as it stands, unless it needs none."""
        scheduler = self._scheduler()
        self._shadow = None
        if scheduler is not None and not self.overwrites:
            self._shadow = Shadow.of(scheduler, optimizers, rates)

    def ends(self, numbers: Numbers) -> list[float | None]:
        """The rates as its last step left them; `numbers` where it does not say."""
        last = vars(self.scheduler).get("_last_lr")
        if not isinstance(last, list | tuple) or len(last) != len(numbers):
            return list(numbers)
        return [number_in(rate) for rate in last]

    def advance(
        self,
        rates: OwnRates,
        shown: Numbers,
        numbers: Numbers,
        optimizers: Sequence[Any],
    ) -> None:
        """Do to the schedule's own rates what it has done since it was marked.

        Args:
            rates: changed in place.
            shown: the live rates that it found in the groups.
            numbers: the rates that are there now.
            optimizers: see `Shadow.of`.
        """
        scheduler, groups = self.scheduler, rates.param_groups
        ends = self.ends(numbers)
        untouched = list(numbers) == list(shown)
        self.mark()
        if self.overwrites:
            if untouched and ends != list(numbers):
                return  # it was loaded, and has not stepped since
            last = vars(scheduler).get("_last_lr", ends)
            for group, end in zip(groups, last, strict=False):
                group["lr"] = _as(group.get("lr"), end)
            return
        before = [copied(group.get("lr")) for group in groups]
        followed = self._shadow is not None and self._shadow.follow(scheduler)
        if followed and not untouched and self._closed_form() == ends:
            # `step(epoch)` computes the rates anew.
            made = zip(before, ends, strict=True)
            _put(groups, [_as(rate, end) for rate, end in made])
        changed = [
            number_in(group.get("lr")) != number_in(rate)
            for group, rate in zip(groups, before, strict=True)
        ]
        if followed and untouched and not self._by_metric:
            # A step changes the rate that it finds too; a load changes nothing.
            if any(new and rate for new, rate in zip(changed, shown, strict=False)):
                _put(groups, before)
                self.shade(rates, optimizers)
        if followed:
            return
        _put(groups, before)
        if not untouched:
            for group, end, rate in zip(groups, ends, shown, strict=False):
                own = number_in(group.get("lr"))
                if own is not None and end is not None and rate is not None:
                    group["lr"] = _as(group["lr"], told_apart(end, own, rate))
        self.shade(rates, optimizers)

    def foretell(
        self, rates: OwnRates, optimizers: Sequence[Any], steps: int, taken: int
    ) -> bool:
        """Step a copy on as the loop will have done after `steps` more steps.

        Args:
            rates: as they are now; changed in place.
            optimizers: see `Shadow.of`.
            steps, taken: of the optimizer, ahead and so far.

        Returns:
            False where it cannot be told.
        """
        scheduler = self.scheduler
        if self._by_metric or not may_be_asked(scheduler):
            return False
        epochs = epoch_of(scheduler)
        # It is often stepped behind the very place where a loop decides.
        each_step = 1.0 if abs(epochs - taken) <= 1 else epochs / max(1, taken)
        if not 0 < each_step <= _MOST_EACH_STEP:
            return False  # not stepped yet, or in a training before this one
        shadow = Shadow.of(scheduler, optimizers, rates)
        return shadow is not None and shadow.foretell(round(each_step * steps))

    def _closed_form(self) -> list[float | None]:
        return [] if self._shadow is None else self._shadow.closed_form()


def _put(groups: list[dict[str, Any]], rates: list[Any]) -> None:
    for group, rate in zip(groups, rates, strict=True):
        if "lr" in group:
            group["lr"] = rate


def _as(before: Any, rate: Any) -> Any:
    """A rate in the make of the one before: a tensor keeps its dtype."""
    if isinstance(before, torch.Tensor):
        number = number_in(rate)
        return before if number is None else torch.full_like(before, number)
    return copied(rate)
