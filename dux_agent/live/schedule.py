"""What a loop's schedule sets, and what the live rule's rate is because of it.

A scheduler, or a loop that computes its rates, writes `group["lr"]`. While a rule of
another rate is live, what was written is taken as news of the schedule, never as the
rule's rate: the schedule's *own* rate is followed behind the scenes (that of a training
that never swapped), and the group shows the rule's rate times what the own rate has
become since the swap. Nothing is ever written into a scheduler.

Who wrote a value is told from what the schedulers say of themselves: each makes a new
list of its last rates when it has stepped. What no scheduler wrote was written by hand.
"""

from collections.abc import Collection, Sequence
from typing import Any

import torch

from dux_agent.live.by_hand import ByHand, Written
from dux_agent.live.followed import Followed
from dux_agent.live.group_options import Options, copied
from dux_agent.live.live_rate import LiveRate, tensor_in
from dux_agent.live.own_schedule import OwnSchedule
from dux_agent.live.rates import (
    Reference,
    References,
    SavedRates,
    number_of_rate,
    pack_references,
    reference_to,
    unpack_references,
)
from dux_agent.live.schedulers import at_work
from dux_sandbox.group_shares import number_in


class Schedule:
    """The rates of one live optimizer's groups."""

    def __init__(
        self,
        groups: list[Options],
        optimizers: Sequence[torch.optim.Optimizer],
        schedulers: Sequence[Any] | None = None,
    ) -> None:
        """Begin with the base optimizer live.

        Args:
            groups: the live list of groups, shared with the loop.
            optimizers: those that a scheduler may have been made over.
            schedulers: all there are; None: they are looked for.
        """
        self._groups = groups
        self._own = OwnSchedule(groups, optimizers, schedulers)
        self._state = [LiveRate() for _ in groups]
        self._seen = self._numbers()
        self._kept: list[Any] | None = None  # own rates, while a step is taken
        self._steps = 0
        self._found_at = -1
        self._paused = False
        self._by_hand = ByHand()

    @property
    def schedulers(self) -> list[Any]:
        """The schedulers that were found or given."""
        return self._own.schedulers

    @property
    def followed(self) -> bool:
        """Whether the schedule's rates are followed behind the live ones."""
        return self._own.known

    @property
    def by_hand(self) -> bool:
        """Whether the loop sets its rates itself."""
        return self._by_hand.usual

    @property
    def references(self) -> References:
        """What each group's live rate is relative to, for the rule that is live."""
        self.meet_groups()
        return [each.reference for each in self._state]

    def own(self, index: int) -> Any:
        """What the schedule alone would have set now in this group; None: no rate."""
        if not self._own.known and self._kept is not None and index < len(self._kept):
            return self._kept[index]
        return self._own.own(index)

    def scheduled(self, index: int) -> bool:
        """Whether somebody sets this group's rate while training goes on."""
        here = "initial_lr" in self._groups[index]
        return here or self.by_hand or bool(self.schedulers)

    def foretell(self, steps: int, taken: int) -> list[float] | None:
        """The own rates after more steps; see `OwnSchedule.foretell`."""
        self.look()
        return self._own.foretell(steps, taken)

    def initial(self, index: int) -> float | None:
        """The rate that this group's schedule is a multiple of, if it says so."""
        rate = number_in(self._groups[index].get("initial_lr"))
        return None if rate is None else rate / self._own.scales[index]

    def reference_for(self, index: int, rate: Any) -> Reference | None:
        """What a rule's rate in this group is relative to when it goes live now."""
        number = number_in(rate)
        if number is None:
            return None
        self.meet_groups()
        own = self.own(index)
        current = 1.0 if own is None else number_in(own)
        return reference_to(number, current, self.initial(index))

    def look(self) -> None:
        """Take note of what schedulers have done; cheap where they did nothing.

        Of what was written by hand too where that is usual. Else it waits for the next
        step: a scheduler that is not known yet may be in the middle of its own.
        """
        if self._paused or not self._own.known:
            return
        if self._own.moved() or (self.by_hand and self._is_written()):
            busy = at_work()
            judge = self.by_hand and not self._own.any_of(busy)
            self._take_note(judge=judge, busy=busy)

    def _is_written(self) -> bool:
        return any(
            number is not None and number != state.shown
            for number, state in zip(self._numbers(), self._state, strict=False)
        )

    def find(self) -> None:
        """Look for schedulers, as at every decision; once at the same step."""
        if self._found_at == self._steps:
            return
        self._found_at = self._steps
        if self._own.find() and not self._own.known:
            # They may have made every change so far.
            self._by_hand = ByHand()
            self._seen = self._numbers()

    def pause(self) -> None:
        """What is written from now on, until `follow`, is written by a swap."""
        self._paused = True

    def prepare(self) -> None:
        """Before a swap: find the schedulers, and know the schedule's own rates."""
        self.pause()
        self.meet_groups()
        if self._own.known:
            self._take_note(judge=True)
            self.find()
            return
        self.find()
        for state, group in zip(self._state, self._groups, strict=True):
            state.base_tensor = tensor_in(group)
        self._begin([group.get("lr") for group in self._groups])

    def follow(self, references: Sequence[Reference | None]) -> None:
        """From now on the live rates are relative to these; the groups show them."""
        self.meet_groups()
        self._paused = False
        self._by_hand.begin()
        if not self._own.known:
            self._begin([self.own(index) for index in range(len(self._groups))])
        self._kept = None
        pairs = zip(self._state, self._groups, strict=True)
        for index, (state, group) in enumerate(pairs):
            known = index < len(references)
            state.follow(group, references[index] if known else None)
            self._show(index)
        plain = all(state.reference is None for state in self._state)
        if plain and all(scale == 1.0 for scale in self._own.scales):
            self._own.end()
        self._seen = self._numbers()

    def before_step(self, *, trusted: bool, plain: bool) -> bool:
        """Judge what was written since the last step; whether to call `after_step`.

        Args:
            trusted: the step is the base optimizer's.
            plain: and writes no rates, as an optimizer of torch's without a closure.
        """
        if len(self._state) != len(self._groups):
            self.meet_groups()
        if known := self._own.known:
            self.look()
        self._steps += 1
        self._paused = known or not plain
        if known:
            self._take_note(judge=True)
            return True
        if not self._by_hand.usual and self._is_new():
            self._count_change()
        if not trusted:
            self._kept = [copied(group.get("lr")) for group in self._groups]
        return not plain

    def _count_change(self) -> None:
        """The base optimizer's rates may not be what they were at its last step."""
        numbers = self._numbers()
        if numbers == self._seen:
            return
        if not self._own.moved():
            self._by_hand.change()
        self._own.mark()
        self._seen = numbers

    def after_step(self) -> None:
        """After a step of the rule that is still live: what it wrote is its own."""
        self._paused = False
        kept, self._kept = self._kept, None
        if kept is None and not self._own.known and not self._is_new():
            return
        numbers = self._numbers()
        if not self._own.known:
            if kept is None or numbers == self._seen:
                self._seen = numbers  # a trusted optimizer's rate is the schedule's
                return
            self._begin(kept)
            for state, rate in zip(self._state, kept, strict=True):
                state.shown = number_in(rate)
        for index, number in enumerate(numbers):
            state = self._state[index]
            if number is not None and number != state.shown:
                state.reference = self.reference_for(index, number)
                state.shown = number

    def saved(self) -> SavedRates:
        """What is needed to go on with the same rates, bit for bit."""
        self.look()
        known = self._own.known
        return SavedRates(
            own=self._own.numbers() if known else [],
            references=pack_references(self.references),
            shown=[state.shown for state in self._state] if known else [],
            scales=list(self._own.scales),
            by_hand=self.by_hand,
            changes=self._by_hand.changes,
            multiplies=self._by_hand.multiplies,
        )

    def go_on_from(self, saved: SavedRates, base: Sequence[Options]) -> None:
        """Go on from what `saved` gave; the groups hold what they held then.

        Args:
            base: the base optimizer's options of each group.
        """
        self.reset()
        self._by_hand = ByHand(
            usual=saved.by_hand, changes=saved.changes, multiplies=saved.multiplies
        )
        if not saved.own:
            return
        self._own.find()
        self._own.scales = list(saved.scales)
        own: list[Any] = []
        for state, rate, options in zip(self._state, saved.own, base, strict=True):
            tensor = state.base_tensor = tensor_in(options)
            if rate is None or tensor is None:
                own.append(rate)
            else:
                own.append(torch.full_like(tensor, rate))
        self._begin(own)
        references = unpack_references(saved.references)
        for index, state in enumerate(self._state):
            state.reference, state.shown = references[index], saved.shown[index]
            state.tensor = tensor_in(self._groups[index])

    def reset(self) -> None:
        """The base optimizer is live, and its rates are the schedule's own."""
        self._own.forget()
        self._state = [LiveRate() for _ in self._groups]
        self._kept = None
        self._found_at = -1
        self._paused = False
        self._by_hand = ByHand()
        self._seen = self._numbers()

    def meet_groups(self) -> None:
        """Groups were added: their rate is their own until a rule says otherwise."""
        for group in self._groups[len(self._state) :]:
            state = LiveRate()
            state.begin(group)
            self._state.append(state)
            self._own.join(group)

    def leave_groups(self, left: Sequence[int]) -> None:
        """The loop has taken groups away: of those before, these are left."""
        self._state = [self._state[index] for index in left]
        self._own.leave(left)
        self._kept = None
        self._seen = self._numbers()

    def _numbers(self) -> list[float | None]:
        return [number_in(group.get("lr")) for group in self._groups]

    def _is_new(self) -> bool:
        """Whether a rate may not be what it was: a quick look at plain numbers."""
        groups, seen = self._groups, self._seen
        if len(groups) != len(seen):
            return True
        for index, group in enumerate(groups):
            rate = group.get("lr")
            if type(rate) is not float or rate != seen[index]:
                return True
        return False

    def _begin(self, own: Sequence[Any]) -> None:
        for state, group in zip(self._state, self._groups, strict=True):
            state.begin(group)
        self._own.begin(own)

    def _take_note(self, *, judge: bool, busy: Collection[int] = ()) -> None:
        """Bring the own rates up to now, and let the groups show the live ones.

        Args:
            judge: also of what no scheduler wrote.
            busy: ids of what is in the middle of a method; it waits.
        """
        numbers = self._numbers()
        moved = self._own.moved(busy)
        ends = [each.ends(numbers) for each in moved]
        if moved:
            self._own.advance(moved, [state.shown for state in self._state], numbers)
        strays = []
        for index, number in enumerate(numbers):
            written = any(number in end[index : index + 1] for end in ends)
            if number is None or number == self._state[index].shown or written:
                if moved:
                    self._show(index)
            elif judge:
                strays.append(index)
        births = self._births() if judge else []
        if strays or births:
            self._judge(strays, births, numbers)

    def _births(self) -> list[int]:
        """The groups over which a first scheduler has been made since the last look."""
        pairs = enumerate(zip(self._state, self._groups, strict=True))
        return [at for at, (s, g) in pairs if not s.initial and "initial_lr" in g]

    def _judge(
        self, strays: list[int], births: list[int], numbers: list[float | None]
    ) -> None:
        """Values that no known scheduler wrote: a new one's, the loop's, or a wish."""
        if births or not self.by_hand:
            new = self._own.find()
            if births or new:
                self._adopt(strays, births, new, numbers)
                return
        self._take_by_hand(strays, numbers)

    def _adopt(
        self,
        strays: list[int],
        births: list[int],
        new: list[Followed],
        numbers: list[float | None],
    ) -> None:
        """A scheduler was made while a rule is live, over its rate or over a known."""
        overwrites = any(each.overwrites for each in new)
        for index in sorted({*births, *strays}):
            state, number = self._state[index], numbers[index]
            state.initial = "initial_lr" in self._groups[index]
            if number is not None and state.shown is not None:
                self._own.adopt(index, number, state.shown, index in births, overwrites)
                self._show(index)
        self._own.start(new)

    def _take_by_hand(self, strays: list[int], numbers: list[float | None]) -> None:
        """Values that the loop wrote: its schedule, or a wish for the live rule."""
        own = self._own.numbers()
        written = [
            Written(index, number, own[index], self._state[index].shown)
            for index in strays
            if (number := numbers[index]) is not None
        ]
        references = self._by_hand.judge(
            written, step=self._steps, references=self.references
        )
        for state, reference in zip(self._state, references, strict=False):
            state.reference = reference
        for each in written:
            state = self._state[each.index]
            if state.reference is None:
                self._own.put(each.index, self._groups[each.index]["lr"])
            elif self.by_hand:
                found = number_of_rate(state.at(self._own.own(each.index)))
                rate = self._by_hand.own_rate(each.rate, each.own, found)
                self._own.put(each.index, rate)
            else:
                state.reference = self.reference_for(each.index, each.rate)
            self._show(each.index)

    def _show(self, index: int) -> None:
        """Put the live rate into the group."""
        self._state[index].show(self._groups[index], self._own.own(index))
