"""Arguments whose names say nothing: what a rule is built and stepped with instead."""

from contextlib import contextmanager

import pytest
import torch

from dux_sandbox.executions import choose
from dux_sandbox.limits import Limits
from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.executions import both

RULE = """
import torch
class Rule(torch.optim.Optimizer):
    def __init__(self, params, {wanted}, lr=0.1):
        {before}
        super().__init__(params, dict(lr=lr{options}))
        {after}
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            {loop}
                if p.grad is not None:
                    {use}
"""
EACH = 'for p in group["params"]:'
BESIDE = 'for p, it in zip(group["params"], {}):'
PLAIN = 'p.add_(p.grad, alpha=-group["lr"])'
# By name: the argument, what is done with it, and the value that is taken.
MEMBERS = {
    "a flag": dict(
        wanted="twist", after="self.twist = twist",
        use="p.add_(-p.grad if self.twist else p.grad, alpha=-0.1)", taken=False,
    ),
    "what may be None": dict(
        wanted="mask", after="self.mask = mask",
        use="p.sub_(p.grad if self.mask is None else p.grad * self.mask)", taken=None,
    ),
    "a mode": dict(
        wanted="binning", options=", binning=binning",
        use='p.sub_(p.grad if group["binning"] == "lin" else -p.grad)', taken="lin",
    ),
    "one of several modes": dict(
        wanted="kind", before='assert kind in ("up", "down")', after="self.kind = kind",
        use='p.sub_(p.grad if self.kind == "up" else -p.grad)', taken="up",
    ),
    "a function": dict(
        wanted="quantize", after="self.quantize = quantize",
        use="p.sub_(self.quantize(p.grad, 1.0))", taken=lambda given, *_: given,
    ),
    "a number": dict(
        wanted="zeta", options=", zeta=zeta", use='p.sub_(p.grad * group["zeta"])',
        taken=0.1,
    ),
    "a whole number": dict(
        wanted="times", after="self.times = int(times)",
        use="for _ in range(self.times): p.sub_(p.grad)", taken=1,
    ),
    "a number that a check wants to be greater": dict(
        wanted="bits", before="if bits <= 0 or type(bits) != int: raise ValueError",
        after="self.bits = bits", use="p.sub_(p.grad * 2**self.bits)", taken=1,
    ),
    "a number that an assertion wants to be less": dict(
        wanted="decay_max", before="assert 0 < decay_max <= 1",
        after="self.most = decay_max", use="p.sub_(p.grad * self.most)", taken=1,
    ),
    "nothing is made of it": dict(
        wanted="writer", after="self.writer = writer", use=PLAIN, taken=None,
    ),
    "names of parameters": dict(
        wanted="names", options=", names=names", loop=BESIDE.format('group["names"]'),
        use="p.sub_(p.grad * (1.0 if len(it) > 3 else 2.0))",
        taken=["parameter 0", "parameter 1"],
    ),
    "something for each parameter": dict(
        wanted="anchors", after="self.anchors = anchors",
        loop=BESIDE.format("self.anchors"), use="p.sub_(p.grad + 0.1 * (p - it))",
        taken=[torch.ones(2, 2), torch.ones(3)],
    ),
}  # fmt: skip


def source_of(name):
    holes = dict(options="", before="pass", after="pass", loop=EACH)
    return RULE.format(**{**holes, **MEMBERS[name]})


@contextmanager
def built(execution, source, held):
    """The rule of a source over some parameters, where it is to run."""
    groups = [{"params": held}]
    rule = choose(execution, held).build(source, groups, limits=Limits(), seed=0)
    try:
        rule.bind([{"params": held, **rule.options[0]}])
        yield rule
    finally:
        rule.close()


def weights():
    return [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(3))]


def stepped(optimizer, held, steps=3):
    for step in range(steps):
        for weight in held:
            weight.grad = torch.full_like(weight, 0.25 * (step + 1))
        optimizer.step()
    return [weight.detach().clone() for weight in held]


@both
@pytest.mark.parametrize("name", MEMBERS)
def test_a_constructor_gets_what_it_is_used_for(name, execution):
    source, space = source_of(name), {}
    exec(source, space)
    wanted, held = MEMBERS[name], weights()
    twin = space["Rule"](held, **{wanted["wanted"]: wanted["taken"]})
    expected = stepped(twin, held)

    report, own = check(source), weights()
    with built(execution, source, own) as rule:
        found = stepped(rule, own)

    assert ["default"] == [note.rule for note in report.notes]
    assert all(map(torch.equal, expected, found))


UNKNOWN = {
    "a function of several": ("loss_fn", "p.sub_(self.it(p, p.grad))"),
    "an object": ("model", "p.sub_(p.grad * len(self.it.buffers()))"),
    "handed on": ("loader", "p.sub_(next(iter(self.it)))"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_its_use_does_not_tell_is_demanded_as_before(name):
    wanted, use = UNKNOWN[name]
    holes = dict(options="", before="pass", loop=EACH, after=f"self.it = {wanted}")
    source = RULE.format(**holes, wanted=wanted, use=use)

    report = check(source)

    assert f"the argument {wanted} of __init__" in report.findings[0].message


STEP = """
import torch
class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
    @torch.no_grad()
    def step(self, {wanted}):
        {first}
        for group in self.param_groups:
            {loop}
                if p.grad is not None:
                    {use}
"""
STEPS = {
    "the rate": ("lr, closure=None", EACH, "p.sub_(lr * p.grad)", 0.1),
    "a rate alone": ("lr", EACH, "p.sub_(lr * p.grad)", 0.1),
    "a function": ("clip, closure=None", EACH, "p.sub_(clip(p.grad))", lambda g: g),
    "what may be None": (
        "scale, closure=None",
        EACH,
        "p.sub_(p.grad if scale is None else scale * p.grad)",
        None,
    ),
}


@both
@pytest.mark.parametrize("name", STEPS)
def test_a_step_gets_what_it_wants_beside_a_closure(name, execution):
    wanted, loop, use, taken = STEPS[name]
    source, space = STEP.format(wanted=wanted, loop=loop, use=use, first="pass"), {}
    exec(source, space)
    held = weights()
    twin = space["Rule"](held)
    plain = twin.step
    twin.step = lambda: plain(taken)
    expected = stepped(twin, held)

    own = weights()
    with built(execution, source, own) as rule:
        found = stepped(rule, own)

    assert all(map(torch.equal, expected, found))


def test_a_step_between_parameters_and_others_gets_the_parameters_twice():
    use = "p.sub_(0.1 * (p.grad + it - p))"
    source = STEP.format(
        wanted="vstar, closure=None", loop=BESIDE.format("vstar"), use=use, first="pass"
    )
    own = weights()

    found = stepped(load(source)(own), own)

    assert all(torch.allclose(torch.full_like(w, 0.85), w) for w in found)


def test_a_step_that_wants_a_loss_asks_its_closure_for_it():
    source = STEP.format(
        wanted="loss", loop=EACH, use="p.sub_(float(loss) * p.grad)", first="pass"
    )
    own = weights()
    for weight in own:
        weight.grad = torch.ones_like(weight)

    report = check(source)
    load(source)(own).step(lambda: 0.25)

    assert report.ok
    assert all(torch.equal(torch.full_like(w, 0.75), w) for w in own)


@pytest.mark.parametrize("name", ["closure_mini_batch", "compute_loss"])
def test_what_a_step_calls_without_anything_is_its_closure(name):
    source = STEP.format(wanted=name, loop=EACH, use=PLAIN, first=f"{name}()")
    own = weights()

    def closure():
        for weight in own:
            weight.grad = torch.ones_like(weight)
        return 1.0

    report = check(source)
    load(source)(own).step(closure)

    assert report.ok, report.findings
    assert all(torch.allclose(torch.full_like(w, 0.9), w) for w in own)


@pytest.mark.parametrize("call", ["self.step(0.1)", "super().step()"])
def test_a_step_that_the_class_calls_by_itself_is_left_as_it_is(call):
    source = STEP.format(wanted="batch", loop=EACH, use=PLAIN, first="pass")
    source += f"    def twice(self):\n        {call}\n"

    report = check(source)

    assert "step has arguments without a default: batch" in report.findings[0].message


@both
@pytest.mark.parametrize("option", ["beta=0", "beta=None, *, gamma=1", "loss=None"])
def test_an_option_of_a_step_is_no_closure(option, execution):
    name = option.split("=")[0]
    use = f"p.sub_(p.grad, alpha={name} or 0.5)"
    source = STEP.format(wanted=option, loop=EACH, use=use, first="pass")
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)

    (note,) = check(source).notes
    with built(execution, source, [weight]) as rule:
        rule.step(lambda: torch.tensor(1.0))

    assert f"{name} of step" in note.message
    assert torch.equal(torch.full((2,), 0.5), weight.detach())


def test_an_option_that_another_class_hands_to_a_step_stays_where_it_is():
    source = STEP.format(wanted="beta=0", loop=EACH, use=PLAIN, first="pass")
    source += (
        "class Last(Rule):\n"
        "    def step(self, closure=None):\n        super().step(0.5)\n"
    )

    assert () == check(source).notes


def test_a_step_between_copies_of_others_and_their_device_is_the_rules_alone():
    source = STEP.format(
        wanted="local, device",
        loop=BESIDE.format("held"),
        use="p.sub_(0.1 * (p.grad + it.to(device) - p))",
        first="held = local.copy()",
    )
    own = weights()

    found = stepped(load(source)(own), own)

    assert all(torch.allclose(torch.full_like(w, 0.85), w) for w in found)


@pytest.mark.parametrize("result", ['{"norm": 1.0}', "[p.grad]", "'done'", "(1, 2)"])
def test_what_a_step_returns_beside_a_loss_is_no_fault(result):
    source = STEP.format(wanted="closure=None", loop=EACH, use=PLAIN, first="pass")
    source += f"        return {result}\n"
    own, held = weights(), weights()

    with built("isolated", source, own) as rule:
        found = stepped(rule, own)

    twin = STEP.format(wanted="closure=None", loop=EACH, use=PLAIN, first="pass")
    assert all(map(torch.equal, stepped(load(twin)(held), held), found))
