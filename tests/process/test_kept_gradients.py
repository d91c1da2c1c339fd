"""A rule that keeps a gradient has of it, in a process of its own, what it would here.

Where the training makes gradients anew, those of the step before stay what they were;
where it fills the same tensors again, whoever kept them has the new numbers.
"""

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.process.places import Place
from dux_sandbox.process.shown_gradients import ShownGradients

HEAD = """
import torch


class Keeping(torch.optim.Optimizer):
    def __init__(self, params, lr=0.05):
        super().__init__(params, dict(lr=lr))
        self.last, self.steps = {}, 0

    @torch.no_grad()
    def step(self, closure=None):
        self.steps += 1
        ps = [p for group in self.param_groups for p in group["params"]]
"""
EACH = """        for i, p in enumerate(ps):
            g, s = p.grad, self.state[p]
"""
KEPT = {
    "in the state": """
            p.sub_(g - s["last"] if "last" in s else g, alpha=0.05)
            s["last"] = g
""",
    "as data": """
            p.sub_(g - s["last"] if "last" in s else g, alpha=0.05)
            s["last"] = g.data
""",
    "a part, as other numbers": """
            part = g.view(-1)[2:]
            p.sub_(g, alpha=0.02 if float(s.get("last", part).sum()) < 0 else 0.01)
            s["last"] = part
""",
    "on itself, later": """
            p.sub_(g - self.last[i] if i in self.last else g, alpha=0.05)
            if self.steps > 3:
                self.last[i] = g
""",
    "two of them": """
            held = s.setdefault("held", [])
            p.sub_(g + sum(held), alpha=0.05)
            held.append(g)
            if len(held) > 2:
                held.pop(0)
""",
    "after it was written to": """
            g.mul_(0.5)
            p.sub_(g - s["last"] if "last" in s else g, alpha=0.05)
            s["last"] = g
""",
    "and written to": """
            if "m" in s:
                s["m"].mul_(0.9).add_(g)
            else:
                s["m"] = g
            p.sub_(s["m"], alpha=0.05)
""",
}
BEFORE_A_CLOSURE = {
    "a name for a gradient": """
        loss = closure()
        old = [p.grad for p in ps]
        for p in ps:
            p.sub_(p.grad, alpha=0.05)
        closure()
        for p, g in zip(ps, old):
            p.sub_(0.5 * g + 0.5 * p.grad, alpha=0.05)
        return loss
""",
    "a name from the step before": """
        old = [p.grad for p in ps]
        loss = closure()
        for p, g in zip(ps, old):
            p.sub_(p.grad if g is None else p.grad + g, alpha=0.05)
        return loss
""",
    "whether there is one": """
        there = [p for p in ps if getattr(p, "grad", None) is not None]
        loss = closure()
        for p in there:
            p.sub_(p.grad, alpha=0.05)
        return loss
""",
    "one that it writes to": """
        loss = closure()
        for p in ps:
            p.grad.mul_(0.5)
            p.sub_(p.grad, alpha=0.05)
        return loss
""",
}


class Made:
    """Gradients are made anew in each step."""

    def forget(self, parameters, step):
        for parameter in parameters:
            parameter.grad = None


class Filled:
    """They are filled again."""

    def forget(self, parameters, step):
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.zero_()


class Added:
    """They grow."""

    def forget(self, parameters, step):
        pass


class Mixed:
    """Now this, now that."""

    def forget(self, parameters, step):
        (Made if step % 3 else Filled)().forget(parameters, step)


class Flat:
    """They are new views of one tensor that stays."""

    def forget(self, parameters, step):
        if step == 0:
            self.whole = torch.zeros(sum(each.numel() for each in parameters))
        parts = self.whole.zero_().split([each.numel() for each in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)


LOOPS = [Made, Filled, Added, Mixed, Flat]


def trained(source, kind, loop, *, with_closure=False):
    """Weights and gradients after nine steps."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, 1))
    parameters, forgetting = list(model.parameters()), loop()
    groups = [{"params": parameters}]
    rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)
    for group, options in zip(groups, rule.options, strict=True):
        group.update(options)
    rule.bind(groups)
    generator = torch.Generator().manual_seed(1)
    for step in range(9):
        x = torch.randn(8, 4, generator=generator)

        def closure(x=x, step=step):
            forgetting.forget(parameters, step)
            with torch.enable_grad():
                loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
                loss.backward()
            return loss

        if with_closure:
            rule.step(closure)
        else:
            closure()
            rule.step()
    rule.close()
    return [*map(torch.clone, parameters), *(each.grad for each in parameters)]


def require_equal(source, loop, **how):
    expected = trained(source, "inline", loop, **how)
    for kind in ("isolated", "recorded"):
        found = trained(source, kind, loop, **how)
        assert all(map(torch.equal, found, expected)), kind


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kept", KEPT)
def test_a_gradient_that_is_kept_is_what_it_would_be_here(kept, loop):
    require_equal(HEAD + EACH + KEPT[kept], loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kept", BEFORE_A_CLOSURE)
def test_so_is_what_has_a_name_while_a_closure_runs(kept, loop):
    require_equal(HEAD + BEFORE_A_CLOSURE[kept], loop, with_closure=True)


def test_what_a_rule_keeps_beside_gradients_is_looked_at_once(monkeypatch):
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(50)]
    block = torch.zeros(128 * len(parameters), dtype=torch.uint8)
    shown = ShownGradients(block)
    for index, parameter in enumerate(parameters):
        at = 128 * index
        shown.add(parameter, Place((1,), "float32", (1,), at, (1,), at + 64))
        shown.move(index, Place((1,), "float32", (1,), at, (1,), at + 64))
    rule = torch.optim.SGD(parameters)
    rule.state[parameters[0]]["all"] = [each.data for each in parameters]
    asked, place = [], torch.Tensor.data_ptr
    monkeypatch.setattr(
        torch.Tensor, "data_ptr", lambda tensor: asked.append(1) or place(tensor)
    )

    told = shown.told_after(rule)

    assert {} == told
    assert 1 <= len(asked) <= 10 * len(parameters)
