"""What training loops do to a live rule, made by chance: see `test_made_loops`."""

import copy
import io
import random

import torch

from dux_agent.live.optimizer import DuxOptimizer
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits

_SHAPES = [(4, 3), (5,), (2, 3, 2), (1,), (), (0,), (3, 4, 2, 2), (17, 9), (0, 3)]
_DTYPES = [*[torch.float32] * 3, torch.float64]


def _turned(tensor):
    if tensor.ndim < 2:
        return tensor.clone()
    return tensor.transpose(0, -1).contiguous().transpose(0, -1)


def _spread(tensor):
    """The same numbers, every other element of a larger tensor."""
    return torch.stack([tensor, tensor], -1)[..., 0]


def _of_one(tensor):
    """One number everywhere, which lies in memory once."""
    return tensor.reshape(-1)[:1].sum().expand(tensor.shape)


LAYOUTS = [torch.clone, _turned, _spread, _of_one]


class Training:
    """One training: equal seeds make equal ones, wherever rules run.

    Attributes:
        live: the live optimizer.
        weights: in the order of the groups, or of when they came.
        done: what the loop has done, for who reads of a difference.
    """

    def __init__(self, kind, seed):
        """Two groups of weights, and a base optimizer over them."""
        self._chance = random.Random(seed)
        self._numbers = torch.Generator().manual_seed(seed)
        self._rules, self._saved, self._hooks, self.done = [], None, [], []
        dtype = self._chance.choice([*_DTYPES, None])
        many = self._chance.randrange(3, 7)
        self.weights = [self._weight(dtype) for _ in range(many)]
        groups = [
            {"params": self.weights[:2]},
            {"params": self.weights[2:], "lr": 0.01},
        ]
        base = torch.optim.SGD(groups, lr=0.02, momentum=0.9)

        def build(source, over):
            limits = Limits()
            rule = EXECUTIONS[kind].build(source, over, limits=limits, seed=0)
            self._rules.append(rule)
            return rule

        self.live = DuxOptimizer(base, build=build)

    def close(self):
        """End all rules that were built."""
        self.live.close()
        for each in self._rules:
            each.close()

    def _weight(self, dtype=None):
        shape = self._chance.choice(_SHAPES)
        drawn = torch.randn(shape, generator=self._numbers) * 0.5
        chosen = self._chance.choice(_DTYPES)
        return torch.nn.Parameter(_turned(drawn.to(dtype or chosen)))

    def step(self, *, quiet=False):
        """Let the loop do something, unless it is `quiet`, and take a step."""
        while not quiet and self._chance.random() < 0.5:
            name = self._chance.choice(DOES)
            self.done.append((self.live.steps, name))
            getattr(self, name)(self._chance.choice(self.live.param_groups))
        for each in self.weights:
            scale = 3.0 if self.live.steps % 5 == 3 else 0.1
            drawn = torch.randn(each.shape, generator=self._numbers) * scale
            drawn = drawn.to(each.dtype)
            how = self._chance.randrange(1 if quiet else 9)
            if how == 1:
                each.grad = None
            elif how == 2 and each.numel() > 1:
                each.grad = self._chance.choice(LAYOUTS)(drawn)
            elif how != 3 or each.grad is None:
                each.grad = drawn
        if self._chance.random() < 0.2:
            return self.live.step(lambda: torch.tensor(0.5))
        return self.live.step()

    def _any(self):
        return self._chance.choice(self.weights)

    # What a loop does, to one group

    def writes_a_rate(self, group):
        group["lr"] = self._chance.choice([0.05, 0.003, 0])

    def multiplies_a_rate(self, group):
        group["lr"] = group["lr"] * 0.9

    def keeps_a_rate_in_a_tensor(self, group):
        group["lr"] = torch.tensor(0.02, dtype=torch.float64)

    def fills_a_rate(self, group):
        if isinstance(group["lr"], torch.Tensor):
            how = self._chance.choice([torch.clone, torch.detach, lambda rate: rate])
            how(group["lr"]).fill_(0.004)

    def names_a_group(self, group):
        group["name"] = "head"

    def adds_a_group(self, _):
        if len(self.live.param_groups) < 4:
            self.weights.append(self._weight())
            self.live.add_param_group({"params": [self.weights[-1]], "lr": 0.01})

    def saves(self, _):
        saved = self.live.state_dict()
        self._saved = len(self.weights), self._chance.choice([saved, self._file(saved)])

    def loads(self, _):
        if self._saved is not None and self._saved[0] == len(self.weights):
            saved = copy.deepcopy(self._saved[1])
            if isinstance(saved, io.BytesIO):
                saved = torch.load(saved, weights_only=True)
            self.live.load_state_dict(saved)

    def _file(self, saved):
        file = io.BytesIO()
        torch.save(saved, file)
        file.seek(0)
        return file

    def moves_a_weight(self, _):
        weight = self._any()
        weight.data = self._chance.choice(LAYOUTS[:3])(weight.data * 0.9)

    def writes_a_weight(self, _):
        with torch.no_grad():
            self._any().mul_(0.9)

    def freezes(self, _):
        weight = self._any()
        weight.requires_grad_(not weight.requires_grad)

    def hooks(self, _):
        if len(self._hooks) < 2:
            self._hooks += [
                self.live.register_step_pre_hook(lambda live, *_: self._halve()),
                self.live.register_step_post_hook(lambda live, *_: self._clamp()),
            ]

    def unhooks(self, _):
        while self._hooks:
            self._hooks.pop().remove()

    def _halve(self):
        for each in self.weights:
            each.grad = None if each.grad is None else each.grad * 0.5

    @torch.no_grad()
    def _clamp(self):
        for each in self.weights:
            each.clamp_(-2, 2)

    def writes_state(self, _):
        for entry in self.live.state.values():
            for value in entry.values():
                if isinstance(value, torch.Tensor) and value.is_floating_point():
                    value.mul_(0.9)

    def forgets_state(self, _):
        self.live.state.pop(self._any(), None)

    def shares_a_gradient(self, _):
        one = self._any()
        for each in self.weights:
            if one.grad is not None and each.shape == one.shape:
                each.grad = one.grad.to(each.dtype)

    def gives_the_weight_as_gradient(self, _):
        weight = self._any()
        weight.grad = weight.data

    def zeroes_gradients(self, _):
        dense = [each for each in self.weights if each.grad is not None]
        if all(each.grad.is_contiguous() for each in dense):
            self.live.zero_grad(set_to_none=self._chance.random() < 0.5)


_OWN = frozenset(("close", "step"))
DOES = [
    name for name in vars(Training) if not name.startswith("_") and name not in _OWN
]
