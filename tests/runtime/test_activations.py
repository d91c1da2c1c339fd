"""Modules of torch.nn without state, contexts and helpers that change nothing."""

import pytest
import torch

from dux_sandbox.findings import SourceRejected
from dux_sandbox.language import idiom_names
from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.rule_sources import one_parameter, rule

GIVEN = {
    "CELU": "2.0",
    "GELU": "approximate='tanh'",
    "Hardtanh": "-0.5, 0.5",
    "LeakyReLU": "negative_slope=0.2",
    "LogSoftmax": "dim=0",
    "Softmax": "0",
    "Softmin": "dim=0",
    "Softplus": "2.0, threshold=1.0",
    "Softshrink": "lambd=0.1",
    "Threshold": "0.1, 2.0",
}


def moved(source):
    """A parameter, (3,), after one step of a rule."""
    parameter = one_parameter(3)
    load(source)([parameter]).step()
    return parameter.detach()


@pytest.mark.parametrize("name", idiom_names.ACTIVATIONS)
def test_a_module_without_state_computes_what_torchs_does(name):
    values = torch.tensor([-1.5, 0.3, 2.0])
    options = GIVEN.get(name, "")
    made = eval(f"torch.nn.{name}({options})")

    stepped = moved(
        rule(
            f"made = torch.nn.{name}({options})\n"
            f"p.copy_(made(torch.tensor({values.tolist()})))"
        )
    )

    assert torch.equal(made(values), stepped)


@pytest.mark.parametrize("options", ["", "dim=0, eps=1e-3"])
def test_a_likeness_of_two_tensors_computes_what_torchs_module_does(options):
    made = torch.nn.CosineSimilarity(**eval(f"dict({options or 'dim=0'})"))
    first, second = torch.tensor([-1.5, 0.3, 2.0]), torch.tensor([1.0, 0.5, -0.2])
    pair = f"torch.tensor({first.tolist()}), torch.tensor({second.tolist()})"

    stepped = moved(
        rule(
            f"made = torch.nn.CosineSimilarity({options or '0'})\n"
            f"p.fill_(made({pair}).item() + torch.nn.MSELoss()({pair}).item())"
        )
    )

    expected = made(first, second) + torch.nn.MSELoss()(first, second)
    assert torch.allclose(expected.expand(3), stepped)


HOSTILE = {
    "three tensors": "torch.nn.MSELoss()(p, p, p)",
    "an option that is gone": "torch.nn.L1Loss(size_average=True)",
    "the memory of a likeness": "getattr(torch.nn.MSELoss(), '_' + '_dict__')",
    "an option of the function": "torch.nn.Softplus(out=p)",
    "one too many": "torch.nn.Softplus(1.0, 2.0, 3.0)",
    "of what has none": "torch.nn.Sigmoid(1.0)",
    "an attribute": "getattr(torch.nn.ReLU(), 'register_' + 'forward_hook')",
    "its memory": "getattr(torch.nn.ReLU(), '_' + '_dict__')",
    "its function": "getattr(torch.nn.ReLU(), '_' + '_closure__')",
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_a_module_without_state_is_a_function_and_no_way_in(line):
    rule_class = load(rule(line))

    with pytest.raises((AttributeError, TypeError)):
        rule_class([one_parameter(3)]).step()


def test_a_module_with_state_is_refused():
    assert not check(rule("torch.nn.Linear(2, 2)")).ok
    with pytest.raises(SourceRejected):
        load(rule("torch.nn.Module()", top="made = torch.nn.Module()"))


CONTEXTS = {
    "autocast": ("torch.autocast('cuda', dtype=torch.float16)", ""),
    "amp": ("torch.amp.autocast(device_type='cpu')", ""),
    "cuda": ("autocast()", "from torch.cuda.amp import autocast"),
    "cpu": ("autocast(enabled=True)", "from torch.cpu.amp import autocast"),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_autocast_is_left_out_with_a_note(name):
    call, top = CONTEXTS[name]
    source = rule(f"with {call}:\n    p.copy_(p @ torch.eye(3))", top=top)

    report = check(source)

    assert report.ok
    assert ["left out"] == [note.rule for note in report.notes]
    assert torch.equal(torch.ones(3), moved(source))
    assert not torch.is_autocast_enabled("cpu")


def test_autocast_may_decorate():
    source = rule("p.mul_(f(2.0))", top="@torch.autocast('cpu')\ndef f(x): return x")

    assert torch.equal(torch.full((3,), 2.0), moved(source))


def test_the_contexts_of_autograd_are_those_of_torch():
    source = rule(
        "with torch.autograd.enable_grad():\n    on = torch.is_grad_enabled()\n"
        "with torch.autograd.no_grad():\n    off = torch.is_grad_enabled()\n"
        "x = torch.autograd.Variable(torch.ones(3))\n"
        "assert isinstance(x, torch.autograd.Variable)\n"
        "p.copy_(x if on and not off else 0 * x)"
    )

    assert torch.equal(torch.ones(3), moved(source))


@pytest.mark.parametrize("name", ["grad", "backward", "Function", "functional"])
def test_what_needs_a_graph_is_refused_in_words(name):
    findings = check(rule(f"torch.autograd.{name}")).findings

    assert f"torch.autograd.{name} is not available" == findings[0].message
    assert "p.grad" in findings[0].instead or "closure()" in findings[0].instead


def test_lists_are_grouped_without_torchs_own_helper():
    source = rule(
        "groups = _group_tensors_by_device_and_dtype([[p, p], [p.grad, None]])\n"
        "((ps, gs), _), = groups.values()\n"
        "assert len(ps) == 2 and gs[1] is None\n"
        "assert not _has_foreach_support(ps, p.device)\n"
        "p.zero_()",
        top="from torch.utils._foreach_utils import (\n"
        "    _group_tensors_by_device_and_dtype, _has_foreach_support)",
    )

    assert torch.equal(torch.zeros(3), moved(source))
