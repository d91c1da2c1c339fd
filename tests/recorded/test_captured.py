"""What functions that a rule holds have captured: no recording can put it back."""

import pytest
import torch

from dux_sandbox.recorded.tape import Unrecordable
from tests.recorded.test_recording import steps_beside

HELD = """
import functools
import torch


class Stats:
    def __init__(self):
        self.n = 0

    def count(self):
        self.n += 1
        return self.n


class Held(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
BEGIN

    @torch.no_grad()
    def step(self, closure=None):
        n = self.count()
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad, alpha=group["lr"] * (1.0 if n < 9 else 0.1))
"""


def held(begin):
    lines = "".join(f"        {line}\n" for line in begin.splitlines())
    return HELD.replace("BEGIN\n", lines)


@pytest.mark.parametrize(
    "begin",
    [
        "box = [0]\ndef count():\n    box[0] += 1\n    return box[0]\n"
        "self.count = count",
        "def count(box):\n    box.append(1)\n    return len(box)\n"
        "self.count = functools.partial(count, [])",
        "self.count = Stats().count",
        "stats = Stats()\nself.count = lambda: stats.count()",
    ],
    ids=["a cell", "a partial", "a method", "a helper in a cell"],
)
def test_what_a_function_has_captured_and_changes_is_not_recorded(begin):
    with pytest.raises(Unrecordable, match="outside of the rule"):
        steps_beside(held(begin))


def test_a_list_that_a_function_has_captured_is_not_two():
    begin = "h = self.h = [0]\nself.count = lambda: h[0]"
    source = held(begin).replace("n = self", "self.h[0] += 1\n        n = self")

    with pytest.raises(Unrecordable, match=r"two names.*self\.h"):
        steps_beside(source)


@pytest.mark.parametrize(
    "begin",
    [
        "self.stats = Stats()\nself.count = self.stats.count",
        "self.n = 0\nfactor = [1.0]\ndef count():\n    self.n += 1\n"
        "    return self.n * factor[0]\nself.count = count",
    ],
    ids=["a helper by name", "the rule itself"],
)
def test_what_the_rule_has_by_name_may_be_captured_too(begin):
    _, _, _, pairs = steps_beside(held(begin))

    for one, other in pairs:
        assert torch.equal(other, one)
