"""Laws of long runs, live rates, schedules, and of steps to be compiled or captured."""

import sys

import pytest
import torch

from dux_sandbox.laws import LAWS, OPTIONAL_LAWS, check_laws
from tests.designs import DESIGNS
from tests.law_mutants import MUTANTS, SGD, rule_of, source_of

NEW = ("no_leak", "tensor_lr", "scheduler")
OPTIONAL = [law.name for law in OPTIONAL_LAWS]
PLANTED = [name for name, each in MUTANTS.items() if each[2] in (*NEW, *OPTIONAL)]


def tried(rule, *names, source=None):
    """What came of these laws and no others: name -> (kept, message)."""
    results = check_laws(
        rule,
        examples=1,
        source=source,
        skip=[law.name for law in LAWS if law.name not in names],
        also=[name for name in names if name in OPTIONAL],
    )
    return {each.name: (each.ok, each.message, each.example) for each in results}


@pytest.mark.wall
@pytest.mark.parametrize("name", PLANTED)
def test_a_bug_that_shows_late_is_found_and_shown(name):
    source, law = source_of(name), MUTANTS[name][2]

    ok, _, script = tried(rule_of(source), law, source=source)[law]

    assert not ok
    with pytest.raises(Exception) as raised:  # whatever the rule dies of
        exec(compile(script, "<script>", "exec"), {"__name__": "script"})
    assert raised.type is not SyntaxError


@pytest.mark.parametrize("name", DESIGNS)
def test_a_sound_design_keeps_the_laws_of_long_runs(name):
    source = DESIGNS[name]

    results = tried(rule_of(source), *NEW, source=source)

    assert {law: (True, "", "") for law in NEW} == results


def test_a_window_that_fills_up_is_no_leak():
    source = SGD.replace(
        "                d = p.grad\n",
        "                d = p.grad\n"
        '                seen = self.state[p].setdefault("seen", [])\n'
        "                seen.append(d.clone())\n"
        "                del seen[:-120]\n",
    )

    ok, message, _ = tried(rule_of(source), "no_leak", source=source)["no_leak"]

    assert (True, "") == (ok, message)


@pytest.mark.parametrize(
    "refusal",
    [
        'ValueError("a Tensor is no lr")',
        'RuntimeError("lr as a Tensor is not supported for capturable=False")',
        'TypeError("lr must be a float, not a Tensor")',
        'NotImplementedError("a tensor as learning rate is not supported")',
    ],
)
def test_a_rule_that_refuses_tensors_as_rates_is_not_accused(refusal):
    source = SGD.replace(
        "            for p in",
        '            if torch.is_tensor(group["lr"]):\n'
        f"                raise {refusal}\n"
        "            for p in",
    )

    ok, message, _ = tried(rule_of(source), "tensor_lr", source=source)["tensor_lr"]

    assert (True, "not tried: it refuses rates that are tensors") == (ok, message)


def test_what_dies_of_a_tensor_as_rate_without_refusing_it_is_accused():
    source = SGD.replace('alpha=-group["lr"]', 'alpha=round(-group["lr"], 5)')

    ok, message, _ = tried(rule_of(source), "tensor_lr", source=source)["tensor_lr"]

    assert not ok and message.startswith("it raised TypeError")


def test_what_torch_makes_to_be_captured_is_capturable():
    rules = [
        lambda params, rule=rule: rule(params, capturable=True)
        for rule in (torch.optim.Adam, torch.optim.RAdam, torch.optim.NAdam)
    ]

    results = [tried(rule, "capturable")["capturable"][:2] for rule in rules]

    assert [(True, "")] * 3 == results


def test_what_torch_does_not_make_to_be_captured_is_told():
    ok, message, _ = tried(torch.optim.Adam, "capturable")["capturable"]

    assert not ok
    assert message.startswith("a step looks at values of tensors")


def test_a_sound_rule_compiled_steps_as_it_does_plainly():
    results = tried(rule_of(SGD), "compiled", source=SGD)

    assert (True, "", "") == results["compiled"]


def test_without_a_tracer_a_step_is_not_judged_and_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)
    monkeypatch.delattr(torch, "_dynamo", raising=False)

    ok, message, _ = tried(rule_of(SGD), "compiled", source=SGD)["compiled"]

    assert ok
    assert message.startswith("not tried: torch cannot compile here: ModuleNotFound")


def test_optional_laws_are_tried_only_where_they_are_asked_for():
    names = [law.name for law in LAWS]

    results = check_laws(torch.optim.SGD, examples=0, skip=names, also="capturable")

    assert ["capturable"] == [each.name for each in results]
    assert not set(OPTIONAL) & set(names)
    with pytest.raises(ValueError, match="also names 'finite'; known are capturable"):
        check_laws(torch.optim.SGD, examples=0, also=["finite"])
