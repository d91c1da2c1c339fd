"""One group's live rate: what it is relative to, and the place that it is kept in."""

from dataclasses import dataclass
from typing import Any

import torch

from dux_agent.live.group_options import Options
from dux_agent.live.rates import Reference, number_of_rate, write_rate
from dux_sandbox.group_shares import number_in


@dataclass
class LiveRate:
    """The rate that a group shows.

    Attributes:
        reference: what it is relative to; None: it is the schedule's own.
        shown: what was put into the group last.
        initial: the group had an `initial_lr` when it was looked at last.
        tensor: where the group keeps its rate, if in a tensor.
        base_tensor: where the base optimizer keeps its own.
    """

    reference: Reference | None = None
    shown: float | None = None
    initial: bool = False
    tensor: torch.Tensor | None = None
    base_tensor: torch.Tensor | None = None

    def begin(self, group: Options) -> None:
        """What the group holds now is what it shows."""
        self.shown, self.initial = number_in(group.get("lr")), "initial_lr" in group

    def follow(self, group: Options, reference: Reference | None) -> None:
        """From now on the rate is relative to `reference`."""
        self.reference = reference
        self.tensor = tensor_in(group)
        if reference is None and self.base_tensor is not None:
            self.tensor = self.base_tensor

    def at(self, own: Any) -> Any:
        """The live rate where the schedule's own is `own`; None: the group has none."""
        if self.reference is None:
            return own
        if self.reference.own == 0.0 and number_in(own):
            self.reference = Reference(self.reference.rate, number_of_rate(own))
        return self.reference.at(number_of_rate(own))

    def show(self, group: Options, own: Any) -> None:
        """Put the live rate into the group."""
        rate = self.at(own)
        there = group.get("lr")
        # What somebody wrote stays the very value where it says what is due.
        said = self.tensor is None and there is not rate and number_in(there) == rate
        if rate is not None and not said:
            write_rate(group, rate, self.tensor)
        self.shown = number_in(group.get("lr"))


def tensor_in(group: Options) -> torch.Tensor | None:
    """The tensor in which a group keeps its rate, if it does."""
    lr = group.get("lr")
    return lr if isinstance(lr, torch.Tensor) else None
