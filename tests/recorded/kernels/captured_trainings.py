"""Trainings in which something changes from step to step that a graph could hold on to.

Each is a function of a `Training`: on a device, or on the stand-in for one.
"""

import torch

_HEAD = """
import torch


class Rule(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {"lr": 0.02})
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        for group in self.param_groups:
            for p in group["params"]:
                g = p.grad
                if g is None:
                    continue
"""
_MOMENTUM = """
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.mul_(0.9).add_(g, alpha=0.1)
                x = m / (1 - 0.9 ** self.t)
                if x.ndim == 2:
                    x = x / (x.norm() + 1e-7)
                    for _ in range(3):
                        x = 1.5 * x - 0.5 * (x @ x.T) @ x
"""
ORTHOGONAL = _HEAD + _MOMENTUM + "                p.add_(x, alpha=-group['lr'])\n"
"""Counts its steps; kernels stand between all that moves and torch's products."""
TURNING = (
    _HEAD
    + _MOMENTUM
    + "                if self.t > 6:\n                    x = x.sign() * 0.1\n"
    + "                p.add_(x, alpha=-group['lr'])\n"
)
"""Another program from the seventh step on."""
DIRECT = (
    _HEAD
    + "                if g.ndim == 2:\n"
    + "                    g = 0.001 * (g @ g.T @ g + p @ (p.T @ g))\n"
    + "                p.add_(g, alpha=-group['lr'])\n"
)
"""Torch's products take gradients and weights as they are."""
SCALED = (
    _HEAD
    + _MOMENTUM
    + "                if x.ndim == 2:\n"
    + "                    x = torch.addmm(x, x @ x.T, x, alpha=group['lr'])\n"
    + "                p.add_(x, alpha=-0.02)\n"
)
"""Torch's product takes an option."""
SHAPES = [(24, 16), (16, 24), (9,)]


class Training:
    """Some weights, and what is told of each step.

    Attributes:
        weights: of the rule; its options are all alike.
        told: whether they were finite after each step.
    """

    def __init__(self, device="cpu"):
        generator = torch.Generator().manual_seed(0)
        drawn = [torch.randn(shape, generator=generator) for shape in SHAPES]
        self.device = torch.device(device)
        self.weights = [torch.nn.Parameter(each.to(device)) for each in drawn]
        self.generator = torch.Generator().manual_seed(1)
        self.told, self.held = [], []

    def drawn(self):
        """A gradient for each weight."""
        return [
            torch.randn(each.shape, generator=self.generator).to(self.device)
            for each in self.weights
        ]

    def anew(self, *, but=()):
        """Gradients elsewhere than ever before."""
        for at, (weight, each) in enumerate(
            zip(self.weights, self.drawn(), strict=True)
        ):
            self.held.append(each)
            weight.grad = None if at in but else each

    def in_place(self):
        """Gradients where they were."""
        for weight, each in zip(self.weights, self.drawn(), strict=True):
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            weight.grad.zero_().add_(each)

    def step(self):
        self.taken()
        finite = self.finite()
        self.told.append(None if finite is None else bool(finite))

    def left(self):
        """All that can be compared after it."""
        return [each.detach().clone() for each in self.weights], self.told


def moved_gradients(training):
    for _ in range(12):
        training.anew()
        training.step()


def gradients_in_place(training):
    for _ in range(12):
        training.in_place()
        training.step()


def another_rate_at_each_step(training):
    for step in range(12):
        training.rate(0.01 * (step + 1))
        training.in_place()
        training.step()


def a_gradient_missing_once(training):
    for step in range(12):
        training.anew(but=[0] if step == 5 else [])
        training.step()


def a_gradient_that_never_comes(training):
    for _ in range(12):
        training.anew(but=[1])
        training.step()


def weights_loaded(training):
    for step in range(12):
        if step == 6:
            with torch.no_grad():
                for weight, each in zip(
                    training.weights, training.drawn(), strict=True
                ):
                    weight.copy_(each)
        training.in_place()
        training.step()


def weights_moved(training):
    for step in range(12):
        if step == 6:
            for weight in training.weights:
                training.held.append(weight.data)
                weight.data = weight.data.clone()
        training.in_place()
        training.step()


def gone_back(training):
    state = None
    for step in range(12):
        if step == 5:
            state = training.learned()
        if step == 8:
            training.learn(state)
        training.in_place()
        training.step()


def a_value_that_is_not_finite(training):
    for step in range(12):
        training.in_place()
        if step == 6:
            training.weights[2].grad.fill_(float("nan"))
        training.step()
        if step == 6:
            with torch.no_grad():
                training.weights[2].fill_(1.0)
            state = training.learned()
            for entry in state.state.values():
                entry["m"].nan_to_num_(0.0)
            training.learn(state)


def a_gradient_that_lies_otherwise(training):
    for step in range(12):
        training.in_place()
        if step == 5:
            grad = training.weights[0].grad
            training.weights[0].grad = grad.t().contiguous().t()
        training.step()
        if step == 5:
            training.weights[0].grad = grad


ANY = [
    moved_gradients,
    gradients_in_place,
    another_rate_at_each_step,
    a_gradient_missing_once,
    a_gradient_that_never_comes,
    weights_loaded,
    weights_moved,
    gone_back,
    a_value_that_is_not_finite,
    a_gradient_that_lies_otherwise,
]
SOURCES = {
    "orthogonal": ORTHOGONAL,
    "turning": TURNING,
    "direct": DIRECT,
    "scaled": SCALED,
}
NEVER = {
    ("direct", "moved_gradients"),
    ("direct", "a_gradient_missing_once"),
    ("direct", "a_gradient_that_never_comes"),
    ("scaled", "another_rate_at_each_step"),
}
"""Where an address or a number that torch's calls take is another one in each step."""
