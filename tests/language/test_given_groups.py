"""Constructors that are built without what they demand: values, flags, names."""

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.static_check import check
from tests.executions import both

_STEP = """
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    {each}
"""
_PLAIN = 'p.sub_(p.grad, alpha=group["lr"])'


def rule(init, each=_PLAIN, before=""):
    body = "".join(f"        {line}\n" for line in init.splitlines()[1:])
    head = f"import torch\n{before}\nclass Rule(torch.optim.Optimizer):\n"
    return f"{head}    def __init__(self, {init.splitlines()[0]}):\n{body}" + (
        _STEP.format(each=each)
    )


def stepped(source, execution, groups):
    """Weights after one step on gradients of one; `groups` are lists of shapes."""
    held = [
        {"params": [torch.nn.Parameter(torch.zeros(shape)) for shape in shapes]}
        for shapes in groups
    ]
    built = EXECUTIONS[execution].build(source, held, limits=Limits(), seed=0)
    for group, options in zip(held, built.options, strict=True):
        group.update(options)
    built.bind(held)
    for group in held:
        for each in group["params"]:
            each.grad = torch.ones_like(each)
    built.step()
    built.close()
    return [[each.detach().mean().item() for each in g["params"]] for g in held]


TAKEN = {
    "momentum_weight": "0.9",
    "first_beta": "0.9",
    "learning_rate_d": "0.001",
    "max_steps": "1000",
    "warmup_iterations": "10",
    "num_examples": "1000",
    "n_workers": "1",
    "update_frequency": "10",
    "noise_scale": "0.01",
    "max_grad_norm": "1000",
    "clip_threshold": "1.0",
    "weight_decay_rate": "0.0",
    "eps1": "1e-08",
    "damping_factor": "0.001",
}


@pytest.mark.parametrize("name", list(TAKEN))
def test_a_number_that_must_be_given_is_what_its_name_says(name):
    source = rule(f"params, {name}, lr=0.1\nsuper().__init__(params, dict(lr=lr))")

    report = check(source)

    assert report.ok, report.findings
    (note,) = report.notes
    assert f"write {name}={TAKEN[name]}" == note.instead


def test_a_hint_says_of_a_switch_that_it_is_off():
    source = rule("params, adaptive: bool\nsuper().__init__(params, dict(lr=0.1))")

    (note,) = check(source).notes

    assert "write adaptive=False" == note.instead


@pytest.mark.parametrize("name", ["projector", "model", "loss_fn", "manifold"])
def test_what_no_name_tells_of_is_demanded_as_before(name):
    source = rule(f"params, {name}, lr\nsuper().__init__(params, dict(lr=lr))")

    report = check(source)

    assert f"the argument {name} of __init__ has no default" in [
        finding.message for finding in report.findings
    ]


@both
def test_a_files_own_mark_for_a_rate_that_must_be_given_is_one(execution):
    source = rule(
        "params, lr=required\nif lr is not required and lr < 0:\n"
        "    raise ValueError(lr)\nsuper().__init__(params, dict(lr=lr))",
        before="required = object()\n",
    )

    (note,) = check(source).notes

    assert "lr has no default; 0.001 is taken where none is given" == note.message
    assert [[pytest.approx(-0.001)]] == stepped(source, execution, [[(2, 2)]])


FLAGGED = {
    "asserts": 'for group in param_groups:\n    assert "use_muon" in group',
    "raises": 'for group in param_groups:\n    if "use_muon" not in group:\n'
    '        raise ValueError("say which groups are for Muon")',
    "numbered": "for at, group in enumerate(param_groups):\n"
    '    assert "use_muon" in group, at',
}


@both
@pytest.mark.parametrize("name", list(FLAGGED))
def test_a_group_gets_the_flag_that_it_must_have_by_what_it_holds(name, execution):
    source = rule(
        f"param_groups\n{FLAGGED[name]}\nfor group in param_groups:\n"
        '    group.setdefault("lr", 0.5 if group["use_muon"] else 0.25)\n'
        "super().__init__(param_groups, {})"
    )

    found = stepped(source, execution, [[(2, 2), (3, 2)], [(3,), ()]])

    assert [[-0.5, -0.5], [-0.25, -0.25]] == found
    assert "'use_muon'" in check(source).notes[0].message


@both
@pytest.mark.parametrize("name", ["named_parameters", "named_params"])
def test_a_constructor_that_wants_names_gets_one_for_each_place(name, execution):
    source = rule(
        f"{name}, lr=0.5\nheld = list({name})\n"
        "self.names = [each for each, _ in held]\n"
        "super().__init__([each for _, each in held], dict(lr=lr))",
        each='p.sub_(p.grad, alpha=group["lr"] * len(self.names))',
    )

    assert [[-1.0, -1.0]] == stepped(source, execution, [[(2, 2), (3,)]])
    assert "each parameter is named by its place" in check(source).notes[0].message
