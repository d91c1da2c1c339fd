"""What a running rule is, wherever its code runs; and what its steps cost.

The live optimizer, the guard and the dry run know rules only by `RunningRule`;
`dux_sandbox.executions` has the kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch

from dux_sandbox.closures import Closure, ClosureUse

ParamGroups = list[dict[str, Any]]


@dataclass(frozen=True)
class RuleState:
    """What a rule has learned: enough to go on from, in any process.

    Attributes:
        state: by the index of the parameter (groups in order, then parameters in
            order), the rule's `state` entry: tensors are clones that keep shape,
            dtype and device; everything else is plain.
        attributes: the rule's own plain attributes (`self.t` and the like).
    """

    state: dict[int, dict[str, Any]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepCost:
    """What a rule has cost so far; zeros where nobody measures.

    Attributes:
        first: its first step, seconds.
        longest: the longest step after it, seconds.
        total: all that was asked of it, building included, seconds.
        bytes: memory that its process holds now.
    """

    first: float = 0.0
    longest: float = 0.0
    total: float = 0.0
    bytes: int = 0

    def after(self, seconds: float) -> StepCost:
        """With one more step, which took so long.

        >>> StepCost().after(0.5).after(0.1).after(0.2)
        StepCost(first=0.5, longest=0.2, total=0.0, bytes=0)
        """
        if not self.first:
            return replace(self, first=seconds)
        return self if seconds <= self.longest else replace(self, longest=seconds)


class RunningRule(Protocol):
    """A rule over live parameters, wherever its code runs.

    Attributes:
        source: the text of the rule, or None for a trusted torch optimizer.
        digest: the digest of `source`, or None.
        carry: the rule asks for matching state of its predecessor.
        requires_closure: the rule cannot step without a closure.
        takes_closure: its step has an argument for one.
        closure_use: what it was seen to do with one; see `dux_sandbox.closures`.
        defaults: the rule's own defaults.
        options: option values of each group as the rule was built, no "params".
        owned: per group, the names of the options that are the rule's own; what else
            a group holds is the loop's, and the rule does not meet it.
        runs_here: its code runs in this process, where it could reach hooks and torch's
            modes, and its state is here to be written to.
    """

    runs_here: bool
    source: str | None
    digest: str | None
    carry: bool
    requires_closure: bool
    takes_closure: bool
    closure_use: ClosureUse
    defaults: dict[str, Any]
    options: list[dict[str, Any]]

    @property
    def owned(self) -> list[set[str]]: ...

    def bind(
        self, param_groups: ParamGroups, owned: Sequence[set[str]] | None = None
    ) -> None:
        """From now on the rule's options are in these dicts, read and written live.

        Args:
            owned: per group, the names that are the rule's own; None: as before.
        """

    @property
    def cost(self) -> StepCost:
        """What it has cost so far."""

    def gradients_present(self) -> list[bool]:
        """For each parameter, whether a step taken now finds a gradient."""

    def state_by_parameter(self) -> Mapping[torch.Tensor, dict[str, Any]]:
        """What it keeps of each parameter: its own mapping where it runs here.

        Else of copies. Raises RuleFailed.
        """

    def step(
        self, closure: Closure | None = None, *, seconds: float | None = None
    ) -> Any:
        """Take one step; returns the loss as the rule returned it, or None.

        Args:
            closure: computes the loss anew, and the gradients.
            seconds: that it may take, where it can be stopped; None: as it was built.

        Raises:
            RuleFailed: for any fault of the rule, and nothing else of it. What
                the caller's closure raises comes out as it is.
        """

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters."""

    def snapshot(self) -> RuleState:
        """Clone what the rule has learned. Raises RuleFailed."""

    def restore(self, state: RuleState) -> None:
        """Put copies of what `snapshot` gave in place of all. Raises RuleFailed."""

    def rest(self) -> None:
        """Let go of what only stepping needs: another rule is live."""

    def close(self) -> None:
        """End the rule for good: nothing of it runs afterwards. Can be called twice.

        On the way out generated code may still write to what it reaches: call it
        before anything is put back.
        """


def parameters_of(param_groups: ParamGroups) -> list[torch.Tensor]:
    """All parameters, groups in order, then parameters in order."""
    return [parameter for group in param_groups for parameter in group["params"]]


def entries_by_index(
    state: Mapping[Any, Any], parameters: Sequence[torch.Tensor]
) -> dict[int, dict[str, Any]]:
    """The state of each parameter by its index, in the order in which it came to be.

    A rule may go through its state, and begin with the first.
    """
    places = {id(each): index for index, each in enumerate(parameters)}
    return {
        places[id(key)]: dict(entry)
        for key, entry in state.items()
        if id(key) in places
    }
