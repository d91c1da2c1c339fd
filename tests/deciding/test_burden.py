"""What a proposal has to show in its dry run hangs on what those before it came to."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_agent.deciding.burden import caught_by, judged, trend
from dux_agent.decisions import Decision
from dux_sandbox.findings import DryRunReport
from tests.executions import both
from tests.sources import counting
from tests.talking import scripted

FALLING = tuple(1.0 - 0.03 * step for step in range(11))
FLAT = (1.0,) * 11
LEVEL = tuple(x + 0.002 * (-1) ** at for at, x in enumerate(FALLING[1:], 1))
LEVEL = (1.0, *LEVEL)


def scaled(rate, times=""):
    return counting(f"p.add_(p.grad, alpha=-lr{times})", lr=rate)


FROZEN = scaled(0.0)
CREEPS = scaled(1e-5)
BOMB = scaled(0.25, " * (1.0 if n < 40 else 1e4)")
TURNS = scaled(0.25, " * (1.0 if n < 40 else -1.0)")
BETTER = scaled(0.25)
ALIKE = scaled(0.05)
WARMS_UP = scaled(0.1, " * (1e-6 if n < 30 else 1.0)")


def report(losses=FALLING, others=FALLING, *, far=1.0):
    return DryRunReport(True, losses, others, moved=far, incumbent_moved=1.0, period=10)


def found(judgement):
    return [finding.rule for finding in judgement.findings]


@pytest.mark.parametrize("standing", [-4, -1, 0, 1, 5])
@pytest.mark.parametrize("far", [0.0, 1e-4])
def test_a_rule_that_is_frozen_is_refused_whoever_made_it(standing, far):
    assert ["idle"] == found(judged(report(FLAT, far=far), standing))


def test_a_rule_whose_steps_grow_is_not_frozen_but_has_to_be_ahead_if_it_was_caught():
    grows = replace(report(FLAT, far=5e-4), moves_later=0.8)

    assert judged(grows, 0).ok and judged(grows, 3).ok
    assert ["unproved"] == found(judged(grows, -3))


def test_a_tiny_rate_that_tames_an_incumbent_passes():
    wild = (1.0, *(1.0 + 0.5 * (step % 3) for step in range(10)))

    assert judged(report(FALLING, wild, far=5e-4), 0).ok


@pytest.mark.parametrize("losses", [FLAT, LEVEL], ids=["behind", "level"])
@pytest.mark.parametrize("far", [0.01, 30.0])
@pytest.mark.parametrize(("standing", "rules"), [(0, []), (-2, []), (-3, ["unproved"])])
def test_who_was_caught_time_and_again_has_to_be_ahead(standing, rules, far, losses):
    assert rules == found(judged(report(losses, far=far), standing))
    assert judged(report(FALLING, FLAT, far=far), standing).ok


def test_too_few_losses_and_such_as_are_not_finite_say_nothing():
    for few in (report(FLAT[:4], FALLING[:4], far=0.0), DryRunReport(True)):
        assert judged(few, -4) is few
    wild = report(FLAT, (*FALLING[:5], float("nan")))
    assert judged(wild, -4) is wild


def test_who_was_rolled_back_or_refused_for_harm_was_caught():
    def refused(rule):
        return {"findings": [{"rule": rule}]}

    decisions = [
        Decision("kept", attempts=[refused("harm"), refused("import")]),
        Decision("rolled_back", attempts=[{"findings": []}]),
        Decision("applied", attempts=[refused("idle"), {"findings": []}]),
    ]

    assert 3 == caught_by(decisions)


def test_the_trend_counts_in_its_own_standard_errors():
    assert 0.0 == trend(FALLING, FALLING)
    assert trend(FLAT, FALLING) > 6 > trend(LEVEL, FALLING) > -2
    assert trend(FALLING, FLAT) < -2


def trained(*sources, execution, **options):
    """An agent after twenty steps of a regression, and the decision it then makes."""
    torch.manual_seed(0)
    model = nn.Linear(8, 4)
    drawn = torch.Generator().manual_seed(1)
    inputs, wanted = (torch.randn(20, 16, n, generator=drawn) for n in (8, 4))
    agent = attach(
        model,
        torch.optim.SGD(model.parameters(), lr=0.05),
        lambda net, batch: (net(batch[0]) - batch[1]).square().mean(),
        lm=scripted(*sources),
        execution=execution,
        **options,
    )
    with agent:
        for each in zip(inputs, wanted, strict=True):
            agent.step(each)
        return agent.decide()


@both
@pytest.mark.parametrize(
    ("source", "rule"),
    [(FROZEN, "idle"), (CREEPS, "idle")],
    ids=["frozen", "creeps"],
)
def test_rubbish_is_kept_out_by_default_and_only_where_it_is_asked(
    execution, source, rule
):
    decision = trained(source, execution=execution, max_attempts=1)
    finite = trained(source, execution=execution, accept="finite", max_attempts=1)

    assert ("kept", [rule]) == (decision.verdict, rules_of(decision))
    assert "applied" == finite.verdict


@both
def test_a_rule_that_warms_up_is_no_idle_one(execution):
    assert "applied" == trained(WARMS_UP, execution=execution).verdict


@both
@pytest.mark.parametrize(
    ("source", "rule"), [(BOMB, "leap"), (TURNS, "uphill"), (ALIKE, "unproved")]
)
def test_after_rubbish_a_proposal_is_looked_at_for_longer(execution, source, rule):
    caught = FROZEN, CREEPS, scaled(1e-6)
    decision = trained(*caught, source, BETTER, execution=execution, max_attempts=5)
    alone = trained(source, execution=execution)

    assert ["idle", "idle", "idle", rule] == rules_of(decision)
    assert ("applied", BETTER.strip()) == (decision.verdict, decision.source.strip())
    assert "applied" == alone.verdict


def rules_of(decision):
    return [
        finding["rule"] for each in decision.attempts for finding in each["findings"]
    ]
