"""The rules that a contract tries of one kind of execution, and steps of them."""

from typing import Any, ClassVar

import torch
from torch import nn

from dux_agent.testing.contract import ContractTestCase
from dux_sandbox.executions import Execution
from dux_sandbox.limits import Limits
from dux_sandbox.running_rule import ParamGroups, RunningRule

RULE = """
import torch


class Heavy(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, momentum=0.5):
        super().__init__(params, dict(lr=lr, momentum=momentum))
        self.taken = 0

    @torch.no_grad()
    def step(self, closure=None):
        loss = None if closure is None else closure()
        self.taken += 1
        for group in self.param_groups:
            for p in [p for p in group["params"] if p.grad is not None]:
                state = self.state[p]
                velocity = state.setdefault("velocity", torch.zeros_like(p))
                velocity.mul_(group["momentum"]).add_(p.grad)
                p.add_(velocity, alpha=-group["lr"])
        return loss
"""


class ExecutedRules(ContractTestCase):
    """Makes rules of one kind of execution; has no tests.

    Attributes:
        tolerance: how far a weight may be from that of the source's own arithmetic.
    """

    tolerance: ClassVar[float] = 0.0

    __test__ = False

    def make(self) -> Execution:
        """The kind of execution."""
        raise NotImplementedError("override make()")

    def parameters(self) -> list[nn.Parameter]:
        """Three that it can run a rule over: a matrix, a vector, and one frozen."""
        made = [torch.linspace(-1, 1, 12).reshape(4, 3), torch.linspace(0, 1, 3)]
        frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        return [*map(nn.Parameter, made), frozen]

    def rule(
        self,
        parameters: list[nn.Parameter],
        source: str = RULE,
        predecessor: RunningRule | None = None,
    ) -> tuple[RunningRule, ParamGroups]:
        """A rule of a source over two groups, bound to its own options."""
        groups: ParamGroups = [{"params": parameters[:1]}, {"params": parameters[1:]}]
        rule = self.make().build(
            source, groups, limits=Limits(), seed=0, predecessor=predecessor
        )
        self.addCleanup(rule.close)
        for group, options in zip(groups, rule.options, strict=True):
            group.update(options)
        rule.bind(groups)
        return rule, groups

    def _near(self, one: list[Any], other: list[Any], message: str) -> None:
        pairs = zip(one, other, strict=True)
        far = max((a - b).detach().abs().max().item() for a, b in pairs)
        self.assertLessEqual(far, self.tolerance, message)


def gradient(parameter: torch.Tensor, number: int) -> torch.Tensor:
    return parameter.detach() * 0.5 + number


def step(
    rule: RunningRule,
    parameters: list[nn.Parameter],
    steps: int,
    *,
    first: int = 0,
    seconds: float | None = None,
) -> None:
    """Take steps; parameters that want no gradient have none."""
    for number in range(first, first + steps):
        for parameter in parameters:
            wanted = parameter.requires_grad
            parameter.grad = gradient(parameter, number) if wanted else None
        rule.step(seconds=seconds)
