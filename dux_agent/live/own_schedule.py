"""The schedulers of a loop, and the rates that they alone would have set by now."""

from collections.abc import Collection, Sequence
from typing import Any

import torch

from dux_agent.live.followed import Followed, Numbers
from dux_agent.live.group_options import Options, copied, options_of
from dux_agent.live.rates import number_of_rate, told_apart
from dux_agent.live.schedulers import all_optimizers, schedulers_over
from dux_agent.live.shadow import OwnRates
from dux_sandbox.group_shares import number_in


class OwnSchedule:
    """Finds the schedulers over some groups and follows them.

    The rates are in the schedulers' own scale. That is the base optimizer's, but where
    a scheduler was made over the rate of a rule: it goes on from there.

    Attributes:
        known: the rates are followed; else they are what the groups hold.
        scales: of each group how many times the base optimizer's rates they are.
    """

    def __init__(
        self,
        groups: list[Options],
        optimizers: Sequence[torch.optim.Optimizer],
        schedulers: Sequence[Any] | None,
    ) -> None:
        """For `Schedule`; see there."""
        self.scales = [1.0] * len(groups)
        self._groups = groups
        self._optimizers = tuple(optimizers)
        self._given = None if schedulers is None else list(schedulers)
        self._followed: list[Followed] = []
        self._rates: OwnRates | None = None
        self.known = False

    @property
    def schedulers(self) -> list[Any]:
        """Those that were found or given, and are alive."""
        return [each.scheduler for each in self._followed if each.scheduler is not None]

    def find(self) -> list[Followed]:
        """Look for schedulers; gives the new ones."""
        found = self._given
        if found is None:
            found = schedulers_over(self._optimizers)
        known = {id(each) for each in self.schedulers}
        self._followed = [each for each in self._followed if each.scheduler is not None]
        new = [Followed(each) for each in found if id(each) not in known]
        self._followed += new
        self._shade(new)
        return new

    def forget(self) -> None:
        """Know of no scheduler and no rate."""
        self.end()
        self._followed = []
        self.scales = [1.0] * len(self._groups)

    def begin(self, own: Sequence[Any]) -> None:
        """Follow from now on; `own` are the rates of each group as they are."""
        self._rates = OwnRates(map(options_of, self._groups))
        self.known = True
        for index, rate in enumerate(own):
            self.put(index, rate)
        for each in self._followed:
            each.mark()
        self._shade(self._followed)

    def end(self) -> None:
        """Follow no longer: the groups hold the rates again."""
        self._rates = None
        self.known = False

    def join(self, group: Options) -> None:
        """A group was added behind the others."""
        self.scales.append(1.0)
        if self._rates is not None:
            self._rates.param_groups.append(options_of(group))
            self._shade(self._followed)

    def leave(self, left: Sequence[int]) -> None:
        """Groups were taken away: of those before, these are left."""
        self.scales = [self.scales[index] for index in left]
        if self._rates is not None:
            rates = self._rates.param_groups
            rates[:] = [rates[index] for index in left]

    def put(self, index: int, rate: Any) -> None:
        """The schedule's rate of this group is another one."""
        if self._rates is not None and "lr" in self._rates.param_groups[index]:
            self._rates.param_groups[index]["lr"] = copied(rate)

    def rate(self, index: int) -> Any:
        """The schedule's rate of this group, in its own scale; None: it has none."""
        if self._rates is None:
            return copied(self._groups[index].get("lr"))
        return self._rates.param_groups[index].get("lr")

    def own(self, index: int) -> Any:
        """The same in the scale of the base optimizer."""
        rate, scale = self.rate(index), self.scales[index]
        return rate if scale == 1.0 or rate is None else number_of_rate(rate) / scale

    def numbers(self) -> list[float | None]:
        """The schedule's rates of all groups, in its own scale."""
        return [number_in(self.rate(index)) for index in range(len(self.scales))]

    def moved(self, busy: Collection[int] = ()) -> list[Followed]:
        """Those that have stepped since they were marked, but for the ids in `busy`."""
        return [
            each
            for each in self._followed
            if each.moved and id(each.scheduler) not in busy
        ]

    def any_of(self, busy: Collection[int]) -> bool:
        """Whether one of the schedulers is among these ids."""
        return any(id(each) in busy for each in self.schedulers)

    def mark(self) -> None:
        """What they have done so far is known."""
        for each in self._followed:
            each.mark()

    def advance(self, moved: list[Followed], shown: Numbers, numbers: Numbers) -> None:
        """Do to the rates what these schedulers did.

        Args:
            shown: the live rates that they found in the groups.
            numbers: the rates that are there now.
        """
        rates = self._rates
        if rates is None:
            return
        for own, group in zip(rates.param_groups, self._groups, strict=False):
            own.update(options_of(group, set(group) - {"lr"}))
        # Of several, the one whose rates are found in the groups was the last.
        for each in sorted(moved, key=lambda each: each.ends(numbers) == numbers):
            each.advance(rates, shown, numbers, self._known_optimizers())

    def adopt(
        self, index: int, written: float, shown: float, born: bool, overwrites: bool
    ) -> None:
        """A scheduler was made while a rule is live, and has written into this group.

        Args:
            shown: the live rate that it found.
            born: it is the first over this group, which has an `initial_lr` now.
            overwrites: it computes rates anew.
        """
        rate = number_in(self.rate(index))
        if rate is None:
            return
        first = number_in(self._groups[index].get("initial_lr"))
        if born and first == shown and rate and shown:
            # It goes on from the rule's rate, and so do all that it will set.
            self.scales[index] *= shown / rate
            self.put(index, written)
        elif born or overwrites:
            self.put(index, written)
        else:
            self.put(index, told_apart(written, rate, shown))

    def start(self, new: list[Followed]) -> None:
        """Follow new schedulers from where they and the rates stand."""
        for each in new:
            each.mark()
        self._shade(new)

    def foretell(self, steps: int, taken: int) -> list[float] | None:
        """The own rates after more steps of the optimizer, or None.

        Nothing can be told where no scheduler is known, where one goes by a metric, or
        where it is not known how often the loop steps it.

        Args:
            steps: how many more.
            taken: how many it has taken so far.
        """
        rates = OwnRates(map(options_of, self._groups))
        for index, group in enumerate(rates.param_groups):
            group["lr"] = copied(self.rate(index))
        foretold = [
            each.foretell(rates, self._known_optimizers(), steps, taken)
            for each in self._followed
            if each.scheduler is not None
        ]
        if not foretold or not all(foretold):
            return None
        ahead = [number_in(group.get("lr")) for group in rates.param_groups]
        return [
            rate / scale
            for rate, scale in zip(ahead, self.scales, strict=True)
            if rate is not None
        ]

    def _shade(self, followed: list[Followed]) -> None:
        if self._rates is not None:
            for each in followed:
                each.shade(self._rates, self._known_optimizers())

    def _known_optimizers(self) -> list[Any]:
        return [*self._optimizers, *all_optimizers(self.schedulers)]
