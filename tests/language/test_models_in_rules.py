"""Rules that are written as if they had a model, and what they get in its place."""

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.executions import both
from tests.language.test_given_groups import rule, stepped

_BASE = "super().__init__({}, dict(lr=0.5))"
_NAMED = "\nself.names = [name for name, _ in {}.named_parameters()]"
FACES = {
    "in place of parameters": "model\n" + _BASE.format("model.parameters()"),
    "by any name": "thing\n" + _BASE.format("list(thing.parameters())"),
    "with its names": "net\n" + _BASE.format("net.parameters()") + _NAMED.format("net"),
    "beside the parameters": "params, model\n" + _BASE.format("params")
    + _NAMED.format("model"),
    "kept on self": "params, model\nself.model = model\n" + _BASE.format("params")
    + _NAMED.format("self.model"),
    "by keyword": "params, *, net\n" + _BASE.format("params") + _NAMED.format("net"),
    "put into a mode": "params, model\n" + _BASE.format("params")
    + "\nmodel.train()\nlen(model.parameters())",
}  # fmt: skip


@both
@pytest.mark.parametrize("name", list(FACES))
def test_a_model_that_is_asked_for_parameters_is_what_gives_them(name, execution):
    source = rule(FACES[name])

    report = check(source)

    assert report.ok, report.findings
    assert ["model"] == [note.rule for note in report.notes]
    assert [[-0.5, -0.5]] == stepped(source, execution, [[(2, 2), (3,)]])


@both
def test_a_function_that_a_model_is_handed_to_gets_the_face(execution):
    before = "def count(model):\n    return len(list(model.parameters()))\n"
    source = rule(
        "params, model\nself.count = count(model)\n" + _BASE.format("params"),
        each="p.sub_(p.grad, alpha=0.25 * self.count)",
        before=before,
    )

    assert [[-0.5, -0.5]] == stepped(source, execution, [[(2, 2), (3,)]])


def test_a_step_that_wants_a_model_is_given_the_face():
    source = rule("params\n" + _BASE.format("params"), each=(
        "p.sub_(p.grad, alpha=0.25 * len(model.parameters()))"
    )).replace("closure=None", "model, closure=None")  # fmt: skip

    assert check(source).ok
    assert [[-0.5, -0.5]] == stepped(source, "inline", [[(2, 2), (3,)]])


BEYOND = {
    "what it computes": "model(torch.ones(1))",
    "its layers": "model.layers",
    "its modules": "list(model.modules())",
    "its buffers": "list(model.buffers())",
    "a hook": "model.register_forward_hook(print)",
    "its state": "model.state_dict()",
    "its dict": "model.__dict__",
    "another shape of it": "model.to('meta')",
    "functions on all of it": "model.apply(print)",
    "its methods' own": "model.parameters.__func__",
    "its globals": "model.parameters.__globals__",
}


@pytest.mark.parametrize("name", list(BEYOND))
def test_what_a_model_has_beyond_its_parameters_is_refused(name):
    init = f"params, model\nmodel.parameters()\nself.x = {BEYOND[name]}\n"

    report = check(rule(init + _BASE.format("params")))

    assert not report.ok


@pytest.mark.parametrize("name", ["held", "__class__"])
def test_nothing_is_written_on_the_parameters_by_a_face(name):
    weight = torch.nn.Parameter(torch.zeros(2))
    source = rule(f"model\n{_BASE.format('model.parameters()')}\nmodel.{name} = 1")

    if check(source).ok:
        load(source)([weight])

    assert {} == vars(weight)
    assert torch.nn.Parameter is type(weight)


@both
def test_parameters_that_come_later_are_taken_first(execution):
    for listed in ("rho, params", "rho, params, extra=2", "lr, params=None"):
        source = rule(f"{listed}\n" + _BASE.format("params"))

        assert [[-0.5]] == stepped(source, execution, [[(2, 2)]])


_PASSES = """
import torch

class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.25):
        super().__init__(params, dict(lr=lr))
        self.paras = None

    @torch.no_grad()
    def move(self, sign):
        for group in self.param_groups:
            for p in group["params"]:
                p.requires_grad = True
                p.add_(p.grad, alpha=sign * group["lr"])

    def step(self{more}):
        inputs, targets, loss_of, model{also} = self.paras
{passes}
        return loss
"""
_PASS = """
        predictions = model(inputs)
        loss = loss_of(predictions, targets)
        self.zero_grad()
        {backward}
        self.move({sign})
"""
_IN_BLOCK = """
        self.zero_grad()
        with torch.enable_grad():
            model.train()
            loss = loss_of(model(inputs), targets).mean()
            loss.backward()
        self.move({sign})
"""


def passes(form, backward="loss.backward()", more="", also=""):
    text = "".join(form.format(sign=sign, backward=backward) for sign in (1, -1))
    return _PASSES.format(passes=text, more=more, also=also)


OWN = {
    "one after another": passes(_PASS),
    "in a block": passes(_IN_BLOCK),
    "by a function": passes(_PASS, "backward(loss)", also=", backward"),
    "with arguments": passes(_PASS, more=", alpha=1.0"),
}


def closed_over(weight):
    def closure():
        loss = weight.square().sum()
        weight.grad = None
        loss.backward()
        return loss

    return closure


@both
@pytest.mark.parametrize("name", list(OWN))
def test_passes_that_a_step_runs_by_itself_are_its_closures(name, execution):
    weight = torch.nn.Parameter(torch.ones(2))
    groups = [{"params": [weight]}]

    report = check(OWN[name])
    built = EXECUTIONS[execution].build(OWN[name], groups, limits=Limits(), seed=0)
    groups[0].update(built.options[0])
    built.bind(groups)
    built.step(closed_over(weight))
    built.close()

    # Up from 1 by 0.25 * 2 to 1.5, and down again by 0.25 * 3.
    assert ["closure", "closure"] == [
        note.rule for note in report.notes if note.rule == "closure"
    ]
    assert built.requires_closure
    assert torch.equal(torch.full((2,), 0.75), weight.detach())


STAYS = {
    "what decides": _PASS.replace(
        "self.zero_grad()", "if predictions.sum() > 0: self.zero_grad()"
    ),
    "what is kept": _PASS.replace("self.zero_grad()", "self.seen = predictions"),
    "no pass backward": _PASS.replace("{backward}", "pass"),
}


@pytest.mark.parametrize("name", list(STAYS))
def test_a_pass_that_does_more_stays_and_is_refused_or_fails(name):
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    source = passes(STAYS[name])

    if check(source).ok:
        with pytest.raises(TypeError):
            load(source)([weight]).step()

    assert "closure" not in [note.rule for note in check(source).notes]


TRAINED = {
    "written": "p.requires_grad = True",
    "called": "p.requires_grad_()",
    "called with it": "p.requires_grad_(True)",
    "in a chain": "x = p.grad.clone().requires_grad_(True)",
}


@both
@pytest.mark.parametrize("name", list(TRAINED))
def test_that_a_tensor_is_trained_is_left_out(name, execution):
    each = TRAINED[name] + "\n" + " " * 20 + "p.sub_(p.grad, alpha=0.5)"
    source = rule("params\n" + _BASE.format("params"), each=each)

    report = check(source)

    assert ["left out"] == [note.rule for note in report.notes]
    assert [[-0.5]] == stepped(source, execution, [[(2, 2)]])


@pytest.mark.parametrize(
    "line",
    [
        "p.requires_grad = False",
        "p.requires_grad_(False)",
        "p.requires_grad = group",
        "p.requires_grad_(requires_grad=group['lr'] > 0)",
        "setattr(p, 'requires_grad', False)",
    ],
)
def test_a_rule_freezes_no_parameter(line):
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    source = rule("params\n" + _BASE.format("params"), each=line)

    if check(source).ok:
        with pytest.raises((AttributeError, TypeError)):
            load(source)([weight]).step()

    assert weight.requires_grad


_KINDS = """
class Curved(torch.nn.Parameter):
    def __new__(cls, data, manifold):
        return torch.nn.Parameter.__new__(cls, data)
    def __init__(self, data, manifold):
        self.manifold = manifold
    def __repr__(self):
        return super(torch.nn.Parameter, self).__repr__()
"""


@both
def test_a_kind_of_parameters_is_one_that_no_parameter_is(execution):
    each = "p.sub_(p.manifold.step(p) if isinstance(p, Curved) else p.grad * 0.5)"
    source = rule("params\n" + _BASE.format("params"), each=each, before=_KINDS)

    report = check(source)

    assert ["no parameter that a rule gets is a Curved"] == [
        note.message for note in report.notes
    ]
    assert [[-0.5]] == stepped(source, execution, [[(2, 2)]])


@both
def test_defaults_that_are_written_before_torch_has_them_are_a_variable(execution):
    for each in ("", "self.defaults['lr'] = 0.5\n"):
        init = f"params, lr=0.5\nself.defaults = dict(lr=lr)\n{each}"
        source = rule(init + "super().__init__(params, self.defaults)")

        assert [[-0.5]] == stepped(source, execution, [[(2, 2)]])


def test_defaults_that_are_written_afterwards_are_refused():
    source = rule(_BASE.format("params").join(["params\n", "\nself.defaults = {}"]))

    assert "defaults belongs to torch's Optimizer" in check(source).findings[0].message


_INNER = """
import torch

class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, max_iter={iterations}, max_eval=None, {more}):
        max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        super().__init__(params, dict(lr=lr, max_iter=max_iter, max_eval=max_eval))

    @torch.no_grad()
    def step(self, closure):
        (group,) = self.param_groups
        asked = 0
        for _ in range(group["max_iter"]):
            if asked < group["max_eval"]:
                with torch.enable_grad():
                    loss = closure()
                asked += 1
            for p in group["params"]:
                p.sub_(p.grad, alpha=group["lr"])
        return loss
"""


@both
@pytest.mark.parametrize("iterations", [20, 8, 3])
def test_inner_steps_are_as_many_as_losses_may_be_asked_for(iterations, execution):
    source = _INNER.format(iterations=iterations, more="history_size=100")
    weight = torch.nn.Parameter(torch.ones(2))
    groups = [{"params": [weight]}]
    built = EXECUTIONS[execution].build(source, groups, limits=Limits(), seed=0)
    groups[0].update(built.options[0])
    built.bind(groups)
    expected = torch.ones(2)

    built.step(closed_over(weight))
    built.close()

    for _ in range(min(iterations, 8)):
        expected = expected - 2 * expected * 0.1
    assert torch.allclose(expected, weight.detach())
    assert (iterations > 8) == bool(check(source).notes)
