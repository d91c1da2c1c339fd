"""What a proposal has to show in its dry run hangs on what those before it came to."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_agent.deciding.burden import caught_by, judged, progress, reaching
from dux_agent.decisions import Decision
from dux_sandbox.findings import DryRunReport
from tests import observations
from tests.executions import both
from tests.sources import counting
from tests.talking import scripted

FALLING = tuple(1.0 - 0.03 * step for step in range(11))
SLOWER = tuple(1.0 - 0.02 * step for step in range(11))
SLOW = tuple(1.0 - 0.01 * step for step in range(11))
CREEPING = tuple(1.0 - 0.001 * step for step in range(11))
FLAT = (1.0,) * 11
RISING = tuple(1.0 + 0.02 * step for step in range(11))
BEHIND = tuple(x + 0.02 * (at > 0) for at, x in enumerate(FALLING))
HARDLY = tuple(1.0 - 0.002 * step for step in range(11))


def scaled(rate, times=""):
    return counting(f"p.add_(p.grad, alpha=-lr{times})", lr=rate)


FROZEN = scaled(0.0)
CREEPS = scaled(1e-5)
BOMB = scaled(0.25, " * (1.0 if n < 40 else 1e4)")
TURNS = scaled(0.25, " * (1.0 if n < 40 else -1.0)")
BETTER = scaled(0.25)
LESS = scaled(0.035)
WARMS_UP = scaled(0.1, " * min(1.0, 1e-6 * 1.5**n)")


def report(losses=FALLING, others=FALLING, *, far=1.0):
    return DryRunReport(True, losses, others, moved=far, incumbent_moved=1.0, period=5)


def found(judgement):
    return [finding.rule for finding in judgement.findings]


@pytest.mark.parametrize("standing", [-4, -1, 0])
@pytest.mark.parametrize(
    ("losses", "far", "rules"),
    [
        (FLAT, 0.0, ["idle"]),
        (FLAT, 1e-4, ["idle"]),
        (CREEPING, 0.02, ["idle"]),
        (RISING, 1.0, ["idle"]),
        (SLOW, 0.3, ["behind"]),
        (FALLING, 1.0, []),
        (FALLING, 30.0, []),
    ],
)
def test_what_gains_too_little_on_batches_met_again_is_refused_whoever_made_it(
    losses, far, rules, standing
):
    assert rules == found(judged(report(losses, far=far), standing))


@pytest.mark.parametrize(("far", "said"), [(0.3, "0.3"), (30.0, "30"), (0.0, "0")])
def test_what_gained_too_little_is_told_how_far_it_went(far, said):
    (fault,) = judged(report(SLOW, far=far), 0).findings

    assert fault.message.endswith(f"it moves the weights {said} times as far")


@pytest.mark.parametrize(
    ("losses", "far", "rules"),
    [(FLAT, 1e-4, ["idle"]), (CREEPING, 0.02, ["idle"]), (SLOW, 0.3, [])],
)
def test_who_has_brought_the_loss_down_may_cool_down(losses, far, rules):
    assert rules == found(judged(report(losses, far=far), 1))


@pytest.mark.parametrize("standing", [None, -1, 0, 1])
def test_what_stands_still_is_refused_however_dropout_moves_the_losses(standing):
    noise = (1.05, 1.02, 0.98, 1.38, 1.38, 0.83, 0.88, 0.98, 1.38, 1.45, 0.89)
    trained = tuple(loss - 0.005 * at for at, loss in enumerate(noise))

    assert ["idle"] == found(judged(report(noise, trained, far=1e-5), standing))


@pytest.mark.parametrize("losses", [SLOWER, BEHIND], ids=["slower", "behind"])
@pytest.mark.parametrize(("standing", "rules"), [(1, []), (0, []), (-1, ["unproved"])])
def test_who_was_caught_has_to_be_ahead(standing, rules, losses):
    assert rules == found(judged(report(losses), standing))
    assert judged(report(FALLING, losses), standing).ok


def test_who_was_caught_is_not_ahead_by_chance():
    lucky = tuple(x + 0.01 * (-1) ** at - 0.002 for at, x in enumerate(FALLING))
    ahead = tuple(x - 0.01 * (at > 0) for at, x in enumerate(FALLING))

    assert judged(report(lucky), 0).ok
    assert ["unproved"] == found(judged(report(lucky), -1))
    assert judged(report(ahead), -1).ok


def test_a_rule_whose_steps_grow_is_not_idle_but_has_to_be_ahead_if_it_was_caught():
    grows = replace(report(FLAT, far=5e-4), moves_later=0.8)

    assert judged(grows, 0).ok and judged(grows, 3).ok
    assert ["unproved"] == found(judged(grows, -1))


@pytest.mark.parametrize(
    ("far", "standing", "ok"), [(3.0, 0, True), (3.0, -1, False), (0.5, 0, False)]
)
def test_where_the_incumbent_hardly_gains_a_bold_rule_is_taken_on_trust(
    far, standing, ok
):
    assert ok == judged(report(RISING, HARDLY, far=far), standing).ok


@pytest.mark.parametrize(("standing", "came", "ok"), [(-1, 0.01, False), (-1, 0, True)])
def test_who_was_caught_may_not_creep_past_an_incumbent_that_leaps_about(
    standing, came, ok
):
    wild = (1.0, *(1.0 + 0.5 * (step % 3) for step in range(10)))

    seen = (came, math.inf)

    assert ok == judged(report(CREEPING, wild, far=0.1), standing, seen).ok
    assert judged(report(CREEPING, wild, far=0.1), 0, seen).ok


@pytest.mark.parametrize(
    ("standing", "rules"), [(-1, ["idle"]), (0, ["idle"]), (1, []), (None, [])]
)
def test_who_has_proved_nothing_may_not_bring_a_rule_to_a_crawl(standing, rules):
    wild = (1.0, *(1.0 + 0.5 * (step % 3) for step in range(10)))

    assert rules == found(judged(report(CREEPING, wild, far=0.02), standing))
    assert judged(report(FALLING, wild, far=0.02), standing).ok


LEAPS = (4.1, 3.4, 3.1, 2.7, 1.2, 2.0, 2.0, 2.6, 1.7, 1.1, 1.6)
CREEPS_DOWN = (4.1, 3.8, 4.6, 4.4, 4.4, 3.95, 3.65, 4.4, 4.2, 4.2, 3.8)


@pytest.mark.parametrize(
    ("came", "rules"), [((-0.6, -0.1), []), ((0.1, 0.3), ["idle"])]
)
@pytest.mark.parametrize("standing", [0, -1])
def test_no_more_of_a_leap_counts_than_the_training_has_come_down(
    standing, came, rules
):
    leaping = report(CREEPS_DOWN, LEAPS, far=0.03)
    behind = report(CREEPS_DOWN, LEAPS, far=0.3)

    assert (rules if standing == 0 else ["idle"]) == found(
        judged(leaping, standing, came)
    )
    assert judged(behind, 0, (-0.6, -0.1)).ok
    assert not judged(behind, standing, (0.1, 0.3)).ok


NOISY = (1.0, 1.2, 0.8, 1.1, 0.9, 0.95, 1.25, 0.7, 1.05, 0.95, 0.92)
OVERSHOOTS = (1.0, 1.3, 0.9, 1.0, 0.9, 1.1, 1.35, 1.0, 0.95, 1.0, 0.95)


def test_where_no_gain_of_the_incumbent_is_sure_a_bold_rule_is_taken_on_trust():
    sure = tuple(1.0 - 0.006 * step for step in range(11))

    assert judged(report(OVERSHOOTS, NOISY, far=7.0), 0).ok
    assert ["idle"] == found(judged(report(OVERSHOOTS, NOISY, far=0.7), 0))
    assert ["idle"] == found(judged(report(OVERSHOOTS, NOISY, far=7.0), -1))
    assert ["idle"] == found(judged(report(OVERSHOOTS, sure, far=7.0), 0))


def test_who_has_brought_the_loss_down_is_refused_beyond_the_noise_alone():
    slow = tuple(1.0 - 0.02 * step for step in range(11))
    leaps = (1.0, 1.3, 0.6, 1.2, 0.9, 1.1, 0.9, 0.8, 1.0, 1.1, 0.9)

    assert judged(report(leaps, slow), 1).ok
    assert not judged(report(leaps, slow), 0).ok
    assert ["idle"] == found(judged(report(RISING, slow), 1))


def test_no_gain_is_asked_of_who_was_caught_that_is_larger_than_the_loss():
    vanishing = report([1e-5 * 0.5**step for step in range(11)], [1e-5] * 11)

    assert judged(vanishing, -1, (0.05, 0.05)).ok


@pytest.mark.parametrize(
    ("losses", "standing", "reaches", "rules"),
    [
        (SLOW, 0, 0.5, []),
        (SLOW, 0, 1.0, ["behind"]),
        (CREEPING, 0, 0.0, []),
        (CREEPING, 0, 0.5, ["idle"]),
        (SLOW, -1, 0.0, ["behind"]),
        (SLOWER, -1, 0.0, ["unproved"]),
        (RISING, 0, 0.0, ["idle"]),
        (FLAT, 0, 0.0, ["idle"]),
    ],
)
def test_where_the_network_overfits_less_gain_is_asked_but_of_who_was_caught(
    losses, standing, reaches, rules
):
    judgement = judged(report(losses, far=0.5), standing, reaches=reaches)

    assert rules == found(judgement)


def seen(ended, validation, evaluated=None):
    pairs = [[10 * at, loss] for at, loss in enumerate(validation)]
    figures = {"validation_losses": pairs, "evaluated_loss": evaluated}
    return reaching(observations.later(**figures), ended)


def test_overfitting_is_how_little_of_the_fall_the_validation_loss_has_met():
    assert 1.0 == seen([1.0, 0.5], [1.5, 0.75])
    assert 0.25 == seen([1.0, 0.5], [1.0, 0.875])
    assert 0.0 == seen([1.0, 0.5], [0.9, 0.95])


@pytest.mark.parametrize(
    ("ended", "validation", "evaluated"),
    [
        ([1.0, 0.5], [0.9], None),
        ([0.5], [0.9, 0.95], None),
        ([1.0, 0.5], [0.45, 0.5], None),
        ([1.0, 0.5], [0.9, 0.95], 0.95),
        ([0.5, 0.51], [0.9, 0.95], None),
        ([1.0, math.nan], [0.9, 0.95], None),
        ([1.0, 0.5], [0.9, math.nan], None),
        ([1.0, 0.5], [math.nan, 0.9], None),
    ],
    ids=["once", "new", "no gap", "nor in that mode", "flat", "broken", "nan", "was"],
)
def test_nothing_else_is_called_overfitting(ended, validation, evaluated):
    assert 1.0 == seen(ended, validation, evaluated)


def test_progress_is_the_trend_and_how_sure_it_is():
    falling = [5.0 - 0.1 * step for step in range(30)]

    noisy = [x + 0.1 * (-1) ** at for at, x in enumerate(falling)]
    least, most = progress(noisy)

    assert progress(falling) == pytest.approx((0.1, 0.1))
    assert 0 < least < 0.1 < most < 0.2
    assert (0.0, math.inf) == progress(falling[:5])


def test_a_tiny_rate_that_tames_an_incumbent_passes():
    wild = (1.0, *(1.0 + 0.5 * (step % 3) for step in range(10)))

    assert judged(report(FALLING, wild, far=5e-4), 0).ok


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
@pytest.mark.parametrize(("source", "rule"), [(BOMB, "leap"), (TURNS, "uphill")])
def test_what_comes_after_the_dry_run_is_seen_whoever_made_it(execution, source, rule):
    decision = trained(source, BETTER, execution=execution)

    assert [rule] == rules_of(decision)
    assert ("applied", BETTER.strip()) == (decision.verdict, decision.source.strip())


@both
def test_after_harm_a_proposal_has_to_be_ahead(execution):
    decision = trained(BOMB, LESS, BETTER, execution=execution)
    alone = trained(LESS, execution=execution)

    assert ["leap", "unproved"] == rules_of(decision)
    assert ("applied", BETTER.strip()) == (decision.verdict, decision.source.strip())
    assert "applied" == alone.verdict


@both
def test_what_was_useless_may_be_answered_in_the_same_decision(execution):
    decision = trained(FROZEN, LESS, execution=execution)

    assert ["idle"] == rules_of(decision)
    assert ("applied", LESS.strip()) == (decision.verdict, decision.source.strip())
    assert 1 == caught_by([decision])


@both
@pytest.mark.parametrize(("total", "verdict"), [(40, "kept"), (80, "applied")])
def test_before_the_last_interval_a_proposal_has_to_be_ahead(execution, total, verdict):
    made = {"every": 25, "total_steps": total, "max_attempts": 1}
    decision = trained(LESS, execution=execution, **made)

    assert verdict == decision.verdict


def rules_of(decision):
    return [
        finding["rule"] for each in decision.attempts for finding in each["findings"]
    ]
