"""Several models by weight: a bandit over wins and costs."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from dux_agent.errors import BadArgument
from dux_agent.run_folder import trace
from dux_graphs.language_model import LanguageModel
from dux_graphs.proposals import OptimizerBrief
from dux_graphs.search.archive import outcome_of
from dux_graphs.search.best_dry_run import BestDryRun
from dux_graphs.search.ensemble import Ensemble
from tests import models
from tests.observations import first
from tests.swapping import ADAM, MOMENTUM, SGD
from tests.talking import Scripted, agent_over, fenced, run


def outcome(model, number, *, applied=False, rolled_back=False, **cost):
    attempt = {
        "try": 1,
        "candidate": 1,
        "source": f"a = {number}",
        "digest": str(number),
        "stage": "dry_run",
        "ok": applied,
        "findings": [],
        "losses": [],
        "incumbent_losses": [],
        "model": model,
        "usage": cost or {"total_tokens": 100},
    }
    return outcome_of(
        attempt, decision=number, step=number, applied=applied, rolled_back=rolled_back
    )


def ensemble(**weights):
    return Ensemble(BestDryRun(OptimizerBrief()), weights)


def odds(strategy, archive):
    return {name: s.odds for name, s in strategy.standings(archive).items()}


def test_before_the_first_outcome_the_odds_are_the_weights():
    assert {"a": 0.75, "b": 0.25} == odds(ensemble(a=3, b=1), [])


def test_who_wins_is_asked_more_often():
    archive = [outcome("a", n) for n in range(1, 6)]
    archive += [outcome("b", n, applied=True) for n in range(6, 11)]

    after = odds(ensemble(a=1, b=1), archive)

    assert after["b"] > 5 * after["a"]


def test_a_win_that_was_rolled_back_is_none():
    archive = [outcome("a", 1, applied=True, rolled_back=True), outcome("b", 2)]

    standings = ensemble(a=1, b=1).standings(archive)

    assert (0, 0) == (standings["a"].wins, standings["b"].wins)
    assert standings["a"].odds == standings["b"].odds


def test_of_two_that_win_alike_the_cheaper_one_is_asked_more_often():
    archive = [
        outcome("dear", 1, applied=True, total_tokens=100, money=0.9),
        outcome("cheap", 2, applied=True, total_tokens=900, money=0.1),
    ]

    standings = ensemble(dear=1, cheap=1).standings(archive)

    assert pytest.approx(3.0) == standings["cheap"].odds / standings["dear"].odds
    assert pytest.approx(0.9) == standings["dear"].cost


def test_draws_follow_the_odds_and_repeat():
    strategy = ensemble(a=3, b=1)

    def drawn():
        counts = Counter()
        for decision in range(1, 401):
            look = replace(first(), decision=decision)
            counts[strategy.requests(look, [], 3)[0].model] += 1
        return counts

    assert drawn() == drawn()
    assert 250 < drawn()["a"] < 350


def test_an_agent_asks_both_and_its_trace_tells_wins_and_costs(tmp_path):
    chats = [Scripted(replies=[fenced(s) for s in (SGD, ADAM, MOMENTUM)]) for _ in "ab"]
    both = [
        LanguageModel(chat, name=name) for chat, name in zip(chats, "ab", strict=True)
    ]
    lm = dict(zip(both, (1, 1), strict=True))
    prices = {name: {"input": 100.0, "output": 100.0} for name in "ab"}

    with agent_over(
        models.make("mlp"), lm=lm, run_dir=tmp_path / "run", prices=prices
    ) as agent:
        for _ in range(8):
            run(agent, 2)
            agent.decide()

    events = trace.read(tmp_path / "run")
    last = [event for event in events if event.kind == "apply"][-1].data["models"]
    asked = [e.data["model"] for e in events if e.kind == "static_check"]
    assert {"a", "b"} == set(asked)
    assert [asked[:7].count(name) for name in "ab"] == [last[n]["asked"] for n in "ab"]
    assert pytest.approx(0.007) == sum(last[name]["cost"] for name in "ab")
    assert pytest.approx(1.0) == sum(last[name]["odds"] for name in "ab")
    assert json.dumps(last)


def test_where_the_one_that_is_drawn_fails_the_other_is_asked(tmp_path):
    broken = LanguageModel(Scripted(replies=[ValueError("broken")]), name="broken")
    sound = LanguageModel(Scripted(replies=[fenced(SGD)]), name="sound")

    with agent_over(models.make("mlp"), lm={broken: 99, sound: 1}) as agent:
        run(agent, 2)
        decision = agent.decide()

    assert "applied" == decision.verdict
    assert 2 == decision.usage["calls"]


@pytest.mark.parametrize("weight", [0, -1, True, "3", float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(BadArgument, match="a number above 0 was wanted"):
        agent_over(models.make("mlp"), lm={"offline": weight})
