"""What a run of the base optimizer goes back to, its optimizer included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dux_agent.live.group_options import Options, options_of
from dux_agent.live.loss_bound import LossBound, pack_bound, unpack_bound
from dux_agent.live.snapshot import Snapshot
from dux_agent.live.trusted_state import TrustedState

Names = Sequence[set[str]]


@dataclass
class RunSnapshot:
    """The run at one moment, and the bound that its losses gave.

    Attributes:
        model: weights and buffers; `step` counts steps since the guard began.
        learned: the optimizer's state; None in what was saved without it.
        options: values of each group.
        bound: how high losses may be after it; None while too few were seen.
    """

    model: Snapshot
    learned: TrustedState | None
    options: list[Options]
    bound: LossBound | None

    @classmethod
    def take(
        cls,
        base: torch.optim.Optimizer,
        model: torch.nn.Module | None,
        step: int,
        bound: LossBound | None,
        *,
        host: bool = False,
    ) -> RunSnapshot:
        """Copy everything now: the weights once, and the optimizer's state.

        Args:
            base, model: what is copied.
            step: steps since the guard began.
            bound: how high losses may be after it.
            host: into the memory of the CPU.
        """
        return cls(
            model=Snapshot.take(base.param_groups, model, step, host=host),
            learned=TrustedState.take(base, host=host),
            options=[options_of(group) for group in base.param_groups],
            bound=bound,
        )

    def sound(self) -> bool:
        """Whether state and buffers hold what a run can go on from.

        A mask of infinities may be a buffer; NaN is nobody's intention.
        """
        if any(bool(value.isnan().any()) for value in self.model.buffers.values()):
            return False
        return self.learned is None or self.learned.finite()

    def restore(self, base: torch.optim.Optimizer, written: Names) -> None:
        """Put everything back but the random numbers and the loop's own options.

        Args:
            base: changed in place, as the model is.
            written: per group, the values that the optimizer's own steps write there.
        """
        self.model.restore(random=False)
        if self.learned is not None:
            self.learned.restore(base)
        for group, options, names in zip(
            base.param_groups, self.options, written, strict=False
        ):
            group.update({name: options[name] for name in names & set(options)})

    def state_dict(self, written: Names) -> dict[str, Any]:
        """Plain data and tensors of its own."""
        learned = self.learned
        return {
            "model": self.model.state_dict(),
            "learned": learned and learned.state_dict(self.model.parameters),
            "options": [
                {name: options[name] for name in sorted(names & set(options))}
                for options, names in zip(self.options, written, strict=False)
            ],
            "bound": pack_bound(self.bound),
        }

    @classmethod
    def of(
        cls,
        state: Mapping[str, Any],
        parameters: list[torch.Tensor],
        model: torch.nn.Module | None,
        *,
        host: bool = False,
    ) -> RunSnapshot:
        """The one that `state_dict` gave, of the same model in this process.

        Raises:
            LookupError, TypeError, ValueError: it is damaged, or of another model.
        """
        learned = state["learned"]
        if learned is not None:
            learned = TrustedState.of(learned, parameters, host=host)
        kept = Snapshot.of(state["model"], parameters, model, host=host)
        options = [dict(options) for options in state["options"]]
        return cls(kept, learned, options, unpack_bound(state["bound"]))
