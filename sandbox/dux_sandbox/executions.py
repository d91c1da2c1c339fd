"""Where the code of a rule can run: the one place that names the kinds.

Another kind is one more entry of `EXECUTIONS`; `dux_agent.testing.RunningRuleTestCase`
says what its rules promise.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from dux_sandbox.limits import Limits
    from dux_sandbox.running_rule import ParamGroups, RunningRule

AUTO = "auto"
# Weights of which an isolated step is as fast as a recorded one without kernels:
# measured with one thread, 0.3 to 0.8 of its time at 0.5 million, 1.6 to 3 at 5.
_MANY_WEIGHTS = 1_000_000


class Execution(Protocol):
    """One kind.

    Attributes:
        name: as `attach(execution=...)` takes it.
    """

    name: str

    def reason_against(self, parameters: Sequence[torch.Tensor]) -> str | None:
        """Why rules over these parameters cannot run so here; None: they can."""

    def build(
        self,
        source: str,
        groups: ParamGroups,
        *,
        limits: Limits,
        seed: int,
        predecessor: RunningRule | None = None,
    ) -> RunningRule:
        """Build the rule of a source over the parameters of these groups.

        Args:
            source: the text of the rule.
            groups: only their parameters are used here.
            limits: bounds on its time and memory, where it can be stopped.
            seed: of the random numbers in a process of its own.
            predecessor: a running rule of the same source, over other parameters of
                the same shapes: the new one goes on from all that it has learned, with
                the options of `groups`. None: the rule begins.

        Raises:
            SourceRejected: the static check refuses the source.
            RuleFailed: it could not be built.
            CannotRunSo: no rule can run so, over these parameters or on this system.
        """


class _Kind:
    """A kind of ours: it builds a rule, which then goes on from the one before."""

    def build(
        self,
        source: str,
        groups: ParamGroups,
        *,
        limits: Limits,
        seed: int,
        predecessor: RunningRule | None = None,
    ) -> RunningRule:
        """See `Execution.build`."""
        from dux_sandbox.sensed_rule import sensed

        rule = sensed(self._build(source, groups, limits, seed), groups)
        if predecessor is not None:
            _go_on_from(predecessor, rule, groups)
        return rule

    def _build(
        self, source: str, groups: ParamGroups, limits: Limits, seed: int
    ) -> RunningRule:
        raise NotImplementedError


class Isolated(_Kind):
    """In a jailed process of its own, for the rule's whole life."""

    name = "isolated"

    def reason_against(self, parameters: Sequence[torch.Tensor]) -> str | None:
        """It wants Linux, and parameters in the CPU's memory."""
        if sys.platform != "linux":
            return f"this is {sys.platform}, and only Linux has the layers of the jail"
        for index, parameter in enumerate(parameters):
            if parameter.device.type != "cpu":
                return f"parameter {index} is on {parameter.device}, not on the CPU"
        return None

    def _build(
        self, source: str, groups: ParamGroups, limits: Limits, seed: int
    ) -> RunningRule:
        from dux_sandbox.process.isolated import IsolatedRule

        return IsolatedRule.build(source, groups, limits=limits, seed=seed)


class Inline(_Kind):
    """In this process, as a guarded class: a rule that means harm may get out."""

    name = "inline"

    def reason_against(self, parameters: Sequence[torch.Tensor]) -> str | None:
        """Nothing speaks against it that can be seen of parameters."""
        return None

    def _build(
        self, source: str, groups: ParamGroups, limits: Limits, seed: int
    ) -> RunningRule:
        from dux_sandbox.running import InlineRule

        return InlineRule.build(source, groups)


class Recorded(_Kind):
    """As a program that was recorded in a jailed process, verified and proven.

    A rule that cannot be recorded runs isolated, or not at all where it cannot be that.
    """

    name = "recorded"

    def reason_against(self, parameters: Sequence[torch.Tensor]) -> str | None:
        """It wants Linux."""
        return None if sys.platform == "linux" else ISOLATED.reason_against([])

    def _build(
        self, source: str, groups: ParamGroups, limits: Limits, seed: int
    ) -> RunningRule:
        from dux_sandbox.replaying.rule import RecordedRule

        return RecordedRule.build(source, groups, limits=limits, seed=seed)

    def prepare(
        self, source: str, groups: ParamGroups, *, limits: Limits, seed: int
    ) -> None:
        """Do what takes long of `build`, in any thread; it says what it finds."""
        from dux_sandbox.replaying.rule import RecordedRule

        RecordedRule.prepare(source, groups, limits, seed)


ISOLATED = Isolated()
INLINE = Inline()
RECORDED = Recorded()

EXECUTIONS: dict[str, Execution] = {
    each.name: each for each in (ISOLATED, INLINE, RECORDED)
}
"""By name."""


def choose(wanted: str, parameters: Sequence[torch.Tensor]) -> Execution:
    """The kind of that name; "auto" is recorded, never this process by itself.

    Without a C compiler it is isolated over many weights in the CPU's memory.

    Raises:
        ValueError: there is none of that name, or what stands there is no kind.
    """
    if wanted == AUTO:
        return ISOLATED if _faster_isolated(parameters) else RECORDED
    names = ", ".join(map(repr, (AUTO, *EXECUTIONS)))
    if not isinstance(wanted, str):
        raise ValueError(
            f"execution is {_described(wanted)}; one of the names {names} was wanted; "
            f"enter an instance of your own as "
            f"dux_sandbox.executions.EXECUTIONS['mine'], and pass 'mine'."
        )
    if wanted not in EXECUTIONS:
        raise ValueError(
            f"execution is {wanted!r}; one of {names} was wanted; pick one of them."
        )
    kind = EXECUTIONS[wanted]
    built = callable(getattr(kind, "build", None)) and not isinstance(kind, type)
    if not built or kind.name != wanted:
        raise ValueError(
            f"EXECUTIONS[{wanted!r}] is {_described(kind)}; an instance was wanted "
            f"that has build() and the name {wanted!r}; enter one that "
            f"dux_agent.testing.RunningRuleTestCase passes."
        )
    return kind


def _faster_isolated(parameters: Sequence[torch.Tensor]) -> bool:
    if any(each.device.type != "cpu" for each in parameters):
        return False
    if sum(each.numel() for each in parameters) <= _MANY_WEIGHTS:
        return False
    from dux_sandbox.recorded.kernels.compiler import compiler

    return compiler() is None


def _described(found: object) -> str:
    if isinstance(found, type):
        return f"the class {found.__name__}"
    name = getattr(found, "name", None)
    return f"a {type(found).__name__}" + (f" of the name {name!r}" if name else "")


def _go_on_from(
    predecessor: RunningRule, rule: RunningRule, groups: ParamGroups
) -> None:
    """Give a rule that was just built all that its predecessor has learned.

    Raises:
        RuleFailed: one of the two failed; the new one is closed.
    """
    try:
        rule.restore(predecessor.snapshot())
    except BaseException:
        rule.close()
        raise
    rule.bind(groups, predecessor.owned)


def copy_of(running: RunningRule, groups: ParamGroups, limits: Limits) -> RunningRule:
    """A generated rule's copy over other parameters, for a dry run.

    It runs in this process only where the rule itself does.

    Raises:
        SourceRejected, RuleFailed, CannotRunSo: as `Execution.build`.
    """
    kind: Execution = INLINE if running.runs_here else ISOLATED
    from dux_sandbox.sharded_rule import over_parts

    source = running.source or ""
    rule = over_parts(
        lambda here: kind.build(source, here, limits=limits, seed=0), groups
    )
    _go_on_from(running, rule, groups)
    return rule
