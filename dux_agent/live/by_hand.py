"""Whether a loop sets its learning rates itself: writes them, or multiplies them."""

from collections.abc import Sequence
from dataclasses import dataclass

from dux_agent.live.rates import References, of_the_schedule, told_apart

# Changes that a loop made to the rate of the base optimizer, with no scheduler about,
# after which more of them are taken as a schedule too.
_HABIT = 2


@dataclass(frozen=True)
class Written:
    """A value in a group that no scheduler wrote.

    Attributes:
        index: of the group.
        rate: what was written.
        own: the schedule's own rate before; None: the group has none.
        shown: the live rate that was overwritten.
    """

    index: int
    rate: float
    own: float | None
    shown: float | None

    @property
    def goes_on(self) -> bool:
        """Whether it goes on from the schedule's own rate, not from the live one."""
        if self.own is None or self.shown is None:
            return False
        return of_the_schedule(self.rate, self.own, self.shown)


class ByHand:
    """Judges what was written by hand: one value is a wish, more are a schedule.

    Attributes:
        usual: the loop sets its rates.
        changes: of the base optimizer's rate, that no scheduler explains.
        multiplies: it multiplies the rate that it finds, and does not compute it anew;
            None: not known yet.
    """

    def __init__(
        self, *, usual: bool = False, changes: int = 0, multiplies: bool | None = None
    ) -> None:
        """Go on from what is known of the loop."""
        self.usual = usual
        self.changes = changes
        self.multiplies = multiplies
        self._wish: tuple[int, References] | None = None

    def change(self) -> None:
        """The base optimizer's rate is another than at its last step."""
        self.changes += 1
        self.usual = self.usual or self.changes >= _HABIT

    def begin(self) -> None:
        """Another rule is live: no wish was made for it yet."""
        self._wish = None

    def judge(
        self, written: Sequence[Written], *, step: int, references: References
    ) -> References:
        """Make up one's mind on what was written before a step.

        Args:
            references: what the live rates are relative to.

        Returns:
            The same, or what they were before a value that was taken as a wish and
            turns out to have been the loop's: two in a row are none.
        """
        if self.usual:
            return references
        self.usual = any(each.goes_on for each in written)
        if not self.usual and self._wish is not None and self._wish[0] == step - 1:
            self.usual = True
            return self._wish[1]
        if not self.usual:
            self._wish = (step, list(references))
        return references

    def own_rate(self, rate: float, own: float | None, live: float) -> float:
        """The schedule's own rate after the loop wrote `rate`.

        Args:
            own: before that; None: the group had none.
            live: the live rate that the loop found.
        """
        if own is None or own == live or min(rate, own, live) <= 0:
            return rate
        if self.multiplies is None:
            self.multiplies = told_apart(rate, own, live) != rate
        return own * (rate / live) if self.multiplies else rate
