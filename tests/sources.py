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


def counting(formula, *, lr=0.01, name="Rule"):
    """A rule of one formula, which may name p, lr, state, and n: steps from 1."""
    return f"""
import torch

class {name}(torch.optim.Optimizer):
    def __init__(self, params, lr={lr}):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            lr = group["lr"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                n = state["n"] = state.get("n", 0) + 1
                {formula}
"""


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


# Work without end, that no limit but a clock ends, however fast the machine: it would
# go on for longer than the machine will stand. Each on the lines that it names.
ENDLESS = {
    "ranges": """
for _ in range(1_000_000):
    for _ in range(1_000_000):
        for _ in range(1_000_000):
            self.t += 0
""",
    "recursion": """
def down(n):
    if n:
        down(n - 1)
        down(n - 1)
down(200)
""",
    "one call": """
rows = range(1_000_000)
[0 for _ in rows for _ in rows for x in rows if x < 0]
""",
    "matrices": """
x = torch.eye(64)
for _ in range(1_000_000):
    for _ in range(1_000_000):
        x = x @ x
""",
}


def endless(kind="ranges", since=0):
    """A rule that comes to no end in the steps after so many."""
    lines = "\n".join(" " * 12 + line for line in ENDLESS[kind].split("\n"))
    return with_step(f"        if self.t > {since}:\n{lines}")


HANGS = endless()
HANGS_LATE = endless(since=5)
# Ended by the limit on turns, at the same turn on every machine: no clock is in it.
TURNS = with_step("        while self.t > 0:\n            self.t += 1")


def lines_of_body(source):
    """The lines, from 1, that `with_step` was given."""
    lines = source.split("\n")
    first = lines.index("        self.t += 1") + 2
    return range(first, lines.index("        for group in self.param_groups:") + 1)


RAISES = with_step('        raise ValueError("no good")')
HOARDS = with_step(
    "        self.kept.append(torch.ones(4_000_000))", "        self.kept = []"
)
EXPLODES = with_step(
    "        for group in self.param_groups:\n"
    '            for p in group["params"]:\n'
    "                p.mul_(30.0)"
)
