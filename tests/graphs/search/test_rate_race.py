"""A proposal is raced at other rates, of which short runs flatter the low ones."""

import pytest

from dux_graphs.decision import build_graph, decide
from dux_graphs.proposals import OptimizerBrief
from dux_graphs.search.rate_race import RateRace, at_times, rate_of
from dux_graphs.state import Ports
from dux_sandbox.findings import CheckReport, DryRunReport, Finding, digest_of
from dux_sandbox.static_check import check
from tests import models
from tests.graphs.test_decision import QUICK
from tests.observations import first, later
from tests.swapping import ADAM
from tests.talking import agent_over, run

FAULT = Finding("harm", None, "it rose", "less")


def raced(ends, observation=first, steps=60):
    """What is applied where dry runs end so, by the rate, and the rates in turn."""
    tried, applied, calls = [], [], []

    def dry_run(source):
        rate = rate_of(source)
        tried.append(rate)
        end = ends.get(rate)
        losses = (3.0,) * 8 + (end or 9.0,) * 3
        return DryRunReport(end is not None, losses, (3.0,) * 11, findings=(FAULT,))

    ports = Ports(
        lambda messages: calls.append(1) or f"```python\n{SOURCE}\n```",
        lambda source: CheckReport(True, digest_of(source)),
        dry_run,
        lambda source: applied.append(rate_of(source)),
        strategy=RateRace(OptimizerBrief()),
        dry_run_steps=10,
        decision_steps=steps,
        max_attempts=1,
    )
    decide(build_graph(retry=QUICK), observation(), ports, "t")
    assert [1] == calls
    return applied, tried


SOURCE = "class A:\n    def __init__(self, params, b=0.9, *, lr=0.03):\n        pass"


@pytest.mark.parametrize(
    ("ends", "chosen"),
    [
        ({0.03: 1.0, 0.09: 1.09, 0.01: 0.5}, 0.09),  # as good, and it gets further
        ({0.03: 1.0, 0.09: 1.2, 0.01: 0.5}, 0.03),  # a low one is never ahead by itself
        ({0.03: -1.0, 0.09: -0.95, 0.01: -0.8}, 0.09),
        ({0.03: 1.0, 0.01: 0.5}, 0.03),
        ({0.01: 2.0}, 0.01),  # the others did harm
        ({0.09: 1.0}, 0.09),
    ],
)
def test_the_highest_rate_counts_that_is_as_good_as_the_proposals_own(ends, chosen):
    applied, tried = raced(ends)

    assert [chosen] == applied
    assert [0.03, 0.09, 0.01] == tried


def test_where_a_proposal_is_live_already_nothing_is_raced():
    assert ([0.03], [0.03]) == raced({0.03: 1.0}, later)


@pytest.mark.parametrize(("steps", "count"), [(20, 1), (30, 2), (39, 2), (40, 3)])
def test_as_many_rates_are_raced_as_have_room(steps, count):
    assert count == len(raced({0.03: 1.0, 0.09: 1.0, 0.01: 1.0}, steps=steps)[1])


@pytest.mark.parametrize(
    "source",
    ["", "def", "class A:\n    pass", SOURCE.replace("0.03", "None"), "lr = 0.1"],
)
def test_a_source_that_shows_no_rate_is_tried_as_it_is(source):
    assert at_times(source, 3) is None


@pytest.mark.parametrize("rate", ["1.0", "1", "1e3", "0.3333", "2e-5"])
def test_a_rate_that_was_multiplied_is_read_as_the_higher_one(rate):
    source = SOURCE.replace("0.03", rate)

    assert rate_of(at_times(source, 3)) == pytest.approx(3 * float(rate), rel=1e-3)


def test_a_rate_is_written_where_it_stands_whatever_stands_before_it():
    source = ADAM.replace("self, params", 'self, params, name="µ→"')

    assert 3 * rate_of(ADAM) == pytest.approx(rate_of(at_times(source, 3)))
    assert check(at_times(ADAM, 1 / 3)).ok


@pytest.mark.parametrize("execution", ["inline", "isolated"])
def test_an_agent_races_within_its_steps_and_asks_once(execution):
    model = models.make("mlp")
    options = {"execution": execution, "decision_steps": 40}
    with agent_over(model, ADAM, **options) as agent:
        run(agent, 8)
        plan = agent.plan()
        decision = agent.decide()

    assert "applied" == decision.verdict
    assert 3 == len(decision.attempts)
    rates = {rate_of(each["source"]) for each in decision.attempts}
    own = rate_of(ADAM)
    expected = (own, 3 * own, own / 3)
    assert {float(f"{rate:.4g}") for rate in expected} == rates
    assert 1 == decision.usage["calls"]
    assert 40 == plan.optimizer_steps.most
    first_one = next(a for a in decision.attempts if a["candidate"] == 1)
    assert [[first_one["digest"]]] * 2 == [
        each["parents"] for each in decision.attempts if each["candidate"] > 1
    ]
