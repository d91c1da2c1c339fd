"""Rules that are told sensors: the values, wherever a rule runs."""

import math

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.language.declared_sensors import PLAUSIBLE, SENSORS
from dux_sandbox.limits import Limits
from dux_sandbox.running import InlineRule
from dux_sandbox.sensed_rule import SensedRule, sensed
from dux_sandbox.sensing import Sensing
from dux_sandbox.static_check import check, sensors_of
from tests import models
from tests.rule_with_sensors import SOURCE
from tests.sources import SGD

STEPS, TOTAL = 8, 20
KINDS = ("inline", "isolated", "recorded")


def built(kind, source=SOURCE, groups=1):
    """A model, and the rule over its parameters in so many groups."""
    torch.manual_seed(0)
    model = models.mlp()
    weights = list(model.parameters())
    made = [{"params": weights[at::groups]} for at in range(groups)]
    rule = EXECUTIONS[kind].build(source, made, limits=Limits(), seed=0)
    for group, options in zip(made, rule.options, strict=True):
        group.update(options)
    rule.bind(made, [set(each) for each in rule.options])
    return model, rule, made


def batch():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(32, 6, generator=generator)
    return inputs, inputs.sum(1, keepdim=True)


def loss_of(model):
    inputs, targets = batch()
    return (model(inputs) - targets).square().mean()


def train(model, rule, steps, closure=False):
    """What the rule saw in each step, as it kept it."""
    seen = []
    for _ in range(steps):

        def backward():
            rule.zero_grad()
            with torch.enable_grad():
                loss = loss_of(model)
                loss.backward()
            return loss.detach()

        loss = rule.step(backward) if closure else backward()
        if not closure:
            rule.step()
        rule.hear(float(loss))
        kept = rule.snapshot().attributes
        seen.append([kept[n] for n in ("fraction", "trend", "cosine", "ratio")])
    return seen


def by_hand(closure=False):
    """The same values by their definitions, in double precision where they are made."""
    model, rule, _ = built("inline")
    gradients, weights, losses, found = [], [], [], []

    def flat(tensors):
        return torch.cat([each.detach().double().flatten() for each in tensors])

    for done in range(STEPS):
        fast = slow = total_fast = total_slow = 0.0
        for age, loss in enumerate(reversed(losses)):
            fast, total_fast = fast + 0.9**age * loss, total_fast + 0.9**age
            slow, total_slow = slow + 0.99**age * loss, total_slow + 0.99**age
        trend = 0.0
        if losses:
            fast, slow = fast / total_fast, slow / total_slow
            trend = (fast - slow) / max(abs(fast), abs(slow))
        cosine = ratio = 0.0
        if len(gradients) > 1:
            one, other = gradients[-2:]
            cosine = float(one @ other / (one.norm() * other.norm()))
        if len(weights) > 1:
            ratio = float((weights[-1] - weights[-2]).norm() / weights[-2].norm())
        found.append([done / TOTAL, trend, cosine, ratio])
        weights = weights or [flat(model.parameters())]
        rule.zero_grad()
        loss = loss_of(model)
        loss.backward()
        gradients.append(flat(p.grad for p in model.parameters()))
        losses.append(float(loss.detach()))
        rule.sensing.total = TOTAL
        rule.step()
        rule.hear(losses[-1])
        weights.append(flat(model.parameters()))
    return found


@pytest.mark.parametrize("closure", [False, True], ids=["plain", "closure"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_sees_its_sensors_as_they_are_defined(kind, closure):
    model, rule, groups = built(kind)
    rule.sensing.total = TOTAL

    try:
        seen = train(model, rule, STEPS, closure)
    finally:
        rule.close()

    for found, wanted in zip(seen, by_hand(), strict=True):
        assert pytest.approx(wanted, rel=1e-4, abs=1e-6) == found
    assert [0.0] * 4 == seen[0]
    assert all(any(row[at] for row in seen) for at in range(4))
    assert [{"params", "lr"}] == [set(group) for group in groups]
    assert [{"lr"}] == [set(each) for each in rule.options] == rule.owned


def test_each_execution_sees_the_same_values_to_the_last_bit():
    seen = []
    for kind in KINDS:
        model, rule, _ = built(kind, groups=2)
        assert kind != "recorded" or "recorded" == rule.mode, rule.why
        try:
            seen.append((train(model, rule, STEPS), rule.sensing.values()))
        finally:
            rule.close()

    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_that_goes_on_from_another_sees_what_that_one_would_have(kind):
    model, rule, groups = built(kind)
    train(model, rule, 3)
    again, other, others = built(kind)
    again.load_state_dict(model.state_dict())

    other.restore(rule.snapshot())
    other.sensing.done = rule.sensing.done

    try:
        assert train(model, rule, 3) == train(again, other, 3)
    finally:
        rule.close()
        other.close()


@pytest.mark.parametrize("kind", KINDS)
def test_an_option_that_such_a_rule_writes_reaches_the_loop(kind):
    line = '            rate = group["lr"] *'
    source = SOURCE.replace(
        line, f'            group["lr"] = 0.5 * group["lr"]\n{line}'
    )
    assert source != SOURCE
    model, rule, groups = built(kind, source)

    try:
        train(model, rule, 2)
        groups[0]["lr"] = 0.4
        train(model, rule, 1)
    finally:
        rule.close()

    assert [{"params", "lr"}] == [set(group) for group in groups]
    assert 0.2 == groups[0]["lr"]


def test_a_rule_that_declares_none_is_told_nothing():
    rule = InlineRule.build(SGD, [{"params": [torch.nn.Parameter(torch.ones(2))]}])

    assert rule is sensed(rule, [])


@pytest.mark.parametrize(
    ("gradient", "weight", "wanted"),
    [
        (0.0, 1.0, (0.0, 0.0)),
        (math.nan, 1.0, (0.0, 0.0)),
        (math.inf, 1.0, (0.0, 0.0)),
        (1e30, 0.0, (0.0, 0.0)),
        (1.0, 1.0, (1.0, 0.0)),
    ],
)
def test_what_is_no_number_is_told_as_nothing(gradient, weight, wanted):
    parameter = torch.nn.Parameter(torch.full((3,), weight))
    sensing = Sensing(SENSORS, [parameter])

    for _ in range(2):
        parameter.grad = torch.full((3,), gradient)
        sensing.step_begins()
        sensing.gradients_ready()
        sensing.step_ends()
        sensing.hear(gradient)

    values = sensing.values()
    assert wanted == (values["gradient_cosine"], values["update_ratio"])
    assert all(map(math.isfinite, values.values()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64])
def test_other_dtypes_and_sparse_gradients_have_sensors_too(dtype):
    parameter = torch.nn.Parameter(torch.ones(4, 2, dtype=dtype))
    sparse = torch.nn.Parameter(torch.ones(4, 2))
    missing = torch.nn.Parameter(torch.ones(()))
    sensing = Sensing(SENSORS, [parameter, sparse, missing])

    for _ in range(2):
        parameter.grad = torch.full_like(parameter, 0.5)
        sparse.grad = torch.sparse_coo_tensor(
            [[1]], [[1.0, 1.0]], (4, 2), check_invariants=True
        )
        sensing.step_begins()
        sensing.gradients_ready()
        with torch.no_grad():
            parameter.sub_(parameter.grad)
        sensing.step_ends()

    assert pytest.approx(1.0) == sensing.values()["gradient_cosine"]
    assert 0 < sensing.values()["update_ratio"] < 1


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('("loss_trends",)', "there is no sensor 'loss_trends'"),
        ('("loss_trend", "lr")', "there is no sensor 'lr'"),
        ('("loss_trend", 3)', "sensors holds 3"),
        ('"loss_trend"', "no tuple of names"),
        ("3", "no tuple of names"),
        ("None", "no tuple of names"),
        ('{"loss_trend": 1}', "no tuple of names"),
        ('("loss" + "_trend",)', "no name in quotes"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_a_finding(written, said):
    head = "    sensors = ("
    begin = SOURCE.index(head)
    source = (
        SOURCE[:begin] + f"    sensors = {written}\n" + SOURCE[begin:].split("\n", 1)[1]
    )

    report = check(source)

    assert not report.ok
    assert said in report.findings[0].message
    assert "sensors" == report.findings[0].rule
    assert "loss_trend" in report.findings[0].instead or report.findings[0].instead
    assert () == sensors_of(source)


@pytest.mark.parametrize(
    "written",
    ['["loss_trend"]', "()", '("loss_trend", "loss_trend")', '("update_ratio",)'],
)
def test_lists_none_and_some_of_them_may_be_declared(written):
    begin = SOURCE.index("    sensors = (")
    source = (
        SOURCE[:begin] + f"    sensors = {written}\n" + SOURCE[begin:].split("\n", 1)[1]
    )

    assert check(source).ok
    assert len(sensors_of(source)) == len(set(eval(written)))


def test_a_class_has_the_sensors_of_the_class_that_it_is_built_on():
    source = SOURCE + "\n\nclass Child(Sensed):\n    pass\n"

    assert SENSORS == sensors_of(source)


def test_the_laws_are_tried_with_values_of_the_middle_of_a_run():
    from dux_sandbox.jailed_laws import try_laws
    from dux_sandbox.loading import load

    rule = load(SOURCE)([torch.nn.Parameter(torch.ones(2))])
    told = {name: rule.param_groups[0][name] for name in SENSORS}

    assert PLAUSIBLE == told
    broken = SOURCE.replace("p.add_(p.grad", "p.add_(p.grad.sqrt()")
    results = try_laws(broken, examples=0)
    scripts = [each.example for each in results if "class Sensed" in each.example]
    assert scripts and all("add_param_group" in each for each in scripts)
    with pytest.raises(AssertionError):
        exec(compile(scripts[0], "<script>", "exec"), {})


def test_such_a_rule_is_wrapped_wherever_it_is_built():
    for kind in KINDS:
        _, rule, _ = built(kind)
        assert isinstance(rule, SensedRule)
        rule.close()
