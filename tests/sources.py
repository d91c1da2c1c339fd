"""Sources that several tests share."""

SGD = '''
import torch


class PlainSGD(torch.optim.Optimizer):
    """Plain gradient descent."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"])
        return loss
'''

MOMENTUM = '''
import torch


class Momentum(torch.optim.Optimizer):
    """Heavy ball with a step count on self."""

    def __init__(self, params, lr=0.05, beta=0.9):
        super().__init__(params, dict(lr=lr, beta=beta))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.t += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "m" not in state:
                    state["m"] = torch.zeros_like(p)
                state["m"].mul_(group["beta"]).add_(p.grad)
                p.add_(state["m"], alpha=-group["lr"] / (1 + 0.01 * self.t))
        return loss
'''


def with_step(body: str, init: str = "") -> str:
    """A rule whose step runs `body` (lines indented by eight) for every call."""
    return f"""
import math
import torch


class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0
{init}
    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
{body}
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"])
        return None
"""


HANGS = with_step("        while self.t > 0:\n            self.t += 1")
HANGS_LATE = with_step("        while self.t > 5:\n            self.t += 1")
RAISES = with_step('        raise ValueError("no good")')
HOARDS = with_step(
    "        self.kept.append(torch.ones(4_000_000))", "        self.kept = []"
)
EXPLODES = with_step(
    "        for group in self.param_groups:\n"
    '            for p in group["params"]:\n'
    "                p.mul_(30.0)"
)
