"""What of a dropped rule could still run does so before anything is put back.

A suspended generator runs its `finally` when its last reference goes. Each source here
keeps one in another place; it spoils the weights on its way out.
"""

from __future__ import annotations

import gc

import pytest
import torch

from dux_agent.live.swap import swap
from tests import models
from tests.swapping import MOMENTUM, SGD, live_over, train

RULE = """
import torch

{top}

class Poisoner(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0
{init}

    def poison(self, p, group):
        try:
            yield 1
        finally:
            group["lr"] = 1e6
            p.fill_(7.0)

    def again(self, p, group):
        yield from self.poison(p, group)

    def stubborn(self, p, group):
        try:
            yield 1
        finally:
            try:
                p.fill_(7.0)
                yield 2
            finally:
                p.fill_(8.0)

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"])
        group = self.param_groups[0]
        p = group["params"][0]
        if self.t == 1:
{keep}
        if self.t == 4:
            raise ValueError("enough")
        return None
"""

WAYS = {
    "itself": ("", "", "self.kept = self.poison(p, group)\nnext(self.kept)"),
    "a list": ("", "", "k = self.poison(p, group)\nnext(k)\nself.kept = [[k]]"),
    "a dict": ("", "", "k = self.poison(p, group)\nnext(k)\nself.kept = {1: (k,)}"),
    "a global": (
        "KEPT = []",
        "",
        "k = self.poison(p, group)\nnext(k)\nKEPT.append(k)",
    ),
    "a default": (
        "def holder(kept=[]):\n    return kept",
        "",
        "k = self.poison(p, group)\nnext(k)\nholder().append(k)",
    ),
    "a cell": (
        "",
        "",
        "k = self.poison(p, group)\nnext(k)\nself.kept = lambda: k",
    ),
    "a zip": ("", "", "self.kept = zip(self.poison(p, group))\nnext(self.kept)"),
    "an enumeration": (
        "",
        "",
        "self.kept = enumerate(self.poison(p, group))\nnext(self.kept)",
    ),
    "a delegate": ("", "", "self.kept = self.again(p, group)\nnext(self.kept)"),
    "a cycle": (
        "",
        "",
        "k = self.poison(p, group)\nnext(k)\nself.kept = [k]\n"
        "self.kept.append(self.kept)",
    ),
    "an attribute of a class": (
        "class Box:\n    kept = []",
        "",
        "k = self.poison(p, group)\nnext(k)\nBox.kept.append(k)",
    ),
    "an object": (
        "class Box:\n    pass",
        "",
        "k = self.poison(p, group)\nnext(k)\nself.kept = Box()\nself.kept.it = k",
    ),
    "a deque": (
        "from collections import deque",
        "",
        "k = self.poison(p, group)\nnext(k)\nself.kept = deque([k])",
    ),
    "a map": ("", "", "self.kept = map(str, self.poison(p, group))\nnext(self.kept)"),
    "a filter": (
        "",
        "",
        "self.kept = filter(None, self.poison(p, group))\nnext(self.kept)",
    ),
    "a chain": (
        "from itertools import chain",
        "",
        "self.kept = chain(self.poison(p, group), [1])\nnext(self.kept)",
    ),
    "a wide zip": (
        "",
        "",
        "k = [self.poison(p, group) for _ in range(20)]\nself.kept = zip(*k)\n"
        "next(self.kept)",
    ),
    "an accumulation": (
        "from itertools import accumulate",
        "",
        "self.kept = accumulate(self.poison(p, group))\nnext(self.kept)",
    ),
    "a partial": (
        "from functools import partial",
        "",
        "k = self.poison(p, group)\nnext(k)\nself.kept = partial(next, k)",
    ),
    "a factory": (
        "from collections import defaultdict",
        "",
        "k = self.poison(p, group)\nnext(k)\nself.kept = defaultdict(lambda: k)",
    ),
    "an error": (
        "",
        "",
        "k = self.poison(p, group)\nnext(k)\nself.kept = ValueError(k)",
    ),
    "a bound method": (
        "class Box:\n    def get(self):\n        return self.it",
        "",
        "box = Box()\nbox.it = self.poison(p, group)\nnext(box.it)\n"
        "self.kept = box.get",
    ),
    "a generator of its own": (
        "",
        "",
        "k = self.poison(p, group)\nnext(k)\nself.kept = (x for x in [1, k])\n"
        "next(self.kept)",
    ),
    "an inner optimizer": (
        "",
        "",
        "k = self.poison(p, group)\nnext(k)\n"
        "self.kept = torch.optim.SGD([p], lr=0.1)\nself.kept.state[p]['k'] = k",
    ),
    "one that goes on": (
        "",
        "",
        "self.kept = self.stubborn(p, group)\nnext(self.kept)",
    ),
}


def source(way):
    top, init, keep = WAYS[way]
    kept = "\n".join(f"            {line}" for line in keep.splitlines())
    return RULE.format(top=top, init=init or "        self.kept = None", keep=kept)


def accepted():
    from dux_sandbox import check

    return [way for way in WAYS if check(source(way)).ok]


def weights_of(model):
    return [p.detach().clone() for p in model.parameters()]


def test_most_ways_to_keep_a_generator_pass_the_static_check():
    assert 5 < len(accepted())


@pytest.mark.parametrize("way", accepted())
def test_a_rolled_back_rule_has_spoken_its_last_words(way):
    model = models.make("mlp")
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.02))
    train(live, model, 3)
    before = weights_of(model)
    swap(live, source(way))
    reasons = []
    live.guard.on_rollback = reasons.append

    train(live, model, 3)
    for group in live.param_groups:
        for parameter in group["params"]:
            parameter.grad = None
    live.step()  # the rule raises; the incumbent has no gradient to step on
    gc.collect()

    assert "enough" in reasons[0]
    assert all(map(torch.equal, before, weights_of(model)))
    assert 0.02 == live.param_groups[0]["lr"]


@pytest.mark.parametrize("way", accepted())
def test_a_superseded_rule_has_spoken_its_last_words(way):
    model = models.make("mlp")
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.02))
    swap(live, source(way))
    train(live, model, 2)
    swap(live, MOMENTUM)
    before = weights_of(model)

    swap(live, SGD)  # the poisoner was the incumbent until now
    gc.collect()

    assert all(map(torch.equal, before, weights_of(model)))
    assert 0.1 == live.param_groups[0]["lr"]


@pytest.mark.parametrize("way", accepted())
def test_a_load_ends_what_was_live_and_moves_no_weight(way):
    model = models.make("mlp")
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.02))
    saved = live.state_dict()
    swap(live, source(way))
    train(live, model, 2)
    before = weights_of(model)

    live.load_state_dict(saved)
    gc.collect()

    assert all(map(torch.equal, before, weights_of(model)))
    assert 0.02 == live.param_groups[0]["lr"]


@pytest.mark.parametrize("way", accepted())
def test_a_new_group_builds_the_rule_anew_and_moves_no_weight(way):
    model = models.make("mlp")
    more = torch.nn.Parameter(torch.ones(3))
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.02))
    swap(live, source(way))
    train(live, model, 2)
    before = weights_of(model)

    live.add_param_group({"params": [more]})
    gc.collect()

    assert all(map(torch.equal, before, weights_of(model)))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kept", ["", ", k"])
def test_what_is_local_to_a_step_that_raises_speaks_before_the_restore(kept):
    raising = f'k = self.poison(p, group); next(k); raise ValueError("enough"{kept})'
    text = source("itself").replace('raise ValueError("enough")', raising)
    model = models.make("mlp")
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.02))
    train(live, model, 3)
    before = weights_of(model)
    swap(live, text)
    reasons = []
    live.guard.on_rollback = reasons.append

    train(live, model, 3)
    for parameter in live.param_groups[0]["params"]:
        parameter.grad = None
    live.step()
    gc.collect()

    assert 1 == len(reasons)
    assert all(map(torch.equal, before, weights_of(model)))
    assert 0.02 == live.param_groups[0]["lr"]
