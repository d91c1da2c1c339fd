"""What a run will cost is said before it starts, and follows what calls have been."""

import pytest
import torch
from typer.testing import CliRunner

from dux_agent import attach
from dux_agent.cli import app
from tests import models
from tests.swapping import ADAM, SGD
from tests.talking import run, scripted, sgd

PRICES = {"Scripted": {"input": 10.0, "output": 20.0}}


def agent_of(**options):
    model = models.make("mlp")
    given = {"lm": scripted(SGD, ADAM), "execution": "inline", "prices": PRICES}
    given |= {"every": 5, "total_steps": 20, **options}
    return attach(model, sgd(model), models.objective, **given)


def test_calls_tokens_and_money_of_the_run_are_said_before_it_starts():
    with agent_of(candidates=2, max_attempts=4) as agent:
        cost = agent.plan().run
        shown = str(agent.plan())

    assert 3 == cost.decisions
    assert (6, 24) == (cost.calls.least, cost.calls.most)
    assert 5_000 < cost.tokens.least < cost.tokens.most
    assert 0 < cost.money.least < cost.money.most
    assert "calls of the run      6 to 24" in shown
    assert "money of the run" in shown


def test_the_estimate_follows_what_calls_have_been():
    with agent_of() as agent:
        before = agent.plan().run
        run(agent, 6)
        after = agent.plan().run

    assert (3, 2) == (before.decisions, after.decisions)
    assert after.tokens.least < 100 < before.tokens.least


def test_the_budget_bounds_it():
    with agent_of(budget={"calls": 4, "money": 0.01}) as agent:
        cost = agent.plan().run

    assert (3, 4) == (cost.calls.least, cost.calls.most)
    assert cost.money.most <= 0.01


def test_where_a_price_is_not_known_that_is_said():
    with agent_of(prices=None) as agent:
        plan = agent.plan()

    assert plan.run.money is None
    assert "not known: no price of a model" in str(plan)


@pytest.mark.parametrize("options", [{"lm": None}, {"total_steps": None}])
def test_where_nobody_knows_how_often_nothing_is_said(options):
    with agent_of(**options) as agent:
        assert agent.plan().run is None
        assert "of the run" not in repr(agent.plan())


def test_dux_run_says_it_before_the_first_step_and_what_it_came_to(tmp_path):
    prices = tmp_path / "prices.json"
    prices.write_text('{"offline": {"input": 100, "output": 100}}')

    result = CliRunner().invoke(
        app,
        ["run", "tests.foreign_tasks:build", "--epochs", "3", "--prices", str(prices)]
        + ["--run-dir", str(tmp_path / "run")],
    )

    assert 0 == result.exit_code, result.output
    told = result.stderr.splitlines()[0]
    assert told.startswith("this run will cost: 2 decisions; 2 to 6 calls; about ")
    assert "$" in told


def test_what_costs_nothing_is_not_worth_a_line(tmp_path):
    result = CliRunner().invoke(
        app,
        ["run", "tests.foreign_tasks:build", "--epochs", "2", "--run-dir"]
        + [str(tmp_path / "run")],
    )

    assert 0 == result.exit_code, result.output
    assert "will cost" not in result.stderr
    told = result.stderr.splitlines()[0]
    assert told.startswith("a decision takes at most 40 base steps (40 gradient eval")


def test_an_estimate_changes_nothing():
    with agent_of() as agent:
        run(agent, 3)
        torch.manual_seed(5)
        before = [torch.rand(1).item() for _ in range(2)]
        torch.manual_seed(5)
        first = torch.rand(1).item()
        agent.plan()
        assert before == [first, torch.rand(1).item()]
