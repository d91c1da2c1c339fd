"""Several proposals at a time: asked beside each other, tried for longer and longer."""

import threading

import pytest

from dux_graphs.decision import build_graph, decide
from dux_graphs.proposals import OptimizerBrief
from dux_graphs.search.successive_halving import SuccessiveHalving
from dux_graphs.state import Ports
from dux_graphs.writing import NoMoreCalls
from dux_sandbox.findings import CheckReport, DryRunReport, Finding, digest_of
from tests import models
from tests.graphs.test_decision import QUICK, Status
from tests.observations import first
from tests.swapping import SGD
from tests.talking import agent_over, run, scripted

FAULT = Finding("harm", None, "it rose", "less")


class Play:
    """Ports over sources by the number of the proposal: what each is after n steps.

    A reply is a source, or an exception. `losses[source]` is its loss by steps.
    """

    def __init__(self, replies, losses=None, candidates=4, **options):
        self.replies, self.losses = replies, losses or {}
        self.asked, self.tried, self.applied, self.events = {}, [], [], []
        self.options = {
            "strategy": SuccessiveHalving(OptimizerBrief(), candidates),
            "dry_run_steps": 10,
            **options,
        }
        self.together = threading.Barrier(candidates, timeout=120)

    def write(self, messages, options):
        prompt = messages[-1]["content"]
        place = next((n for n in range(2, 9) if f"proposal {n} of" in prompt), 1)
        self.asked[place] = (messages, options)
        self.together.wait()
        reply = self.replies[place - 1]
        if isinstance(reply, Exception):
            raise reply
        return f"```python\n{reply}\n```"

    def dry_run(self, source, steps=10):
        self.tried.append((source.strip(), steps))
        loss = self.losses.get(source.strip(), {}).get(steps, 1.0)
        if loss is None:
            return DryRunReport(False, (3.0,), (3.0,), findings=(FAULT,))
        return DryRunReport(True, (3.0,) * steps + (loss,), (3.0,) * 11)

    def apply(self, source):
        self.applied.append(source.strip())

    def run(self):
        ports = Ports(
            self.write,
            lambda source: CheckReport(True, digest_of(source)),
            self.dry_run,
            self.apply,
            on_event=lambda kind, data: self.events.append((kind, data)),
            **self.options,
        )
        return decide(build_graph(retry=QUICK), first(), ports, "t")


FOUR = ["a = 1", "b = 2", "c = 3", "d = 4"]


def test_calls_are_made_at_the_same_time_and_know_nothing_of_each_other():
    play = Play(FOUR)

    out = play.run()

    first_prompt = play.asked[1][0][-1]["content"]
    assert {1, 2, 3, 4} == set(play.asked)
    assert all(2 == len(messages) for messages, _ in play.asked.values())
    assert all(
        messages[-1]["content"].startswith(first_prompt)
        for messages, _ in play.asked.values()
    )
    assert [None, 0.7, 1.0, 1.2] == [play.asked[n][1].temperature for n in (1, 2, 3, 4)]
    assert 4 == len({play.asked[n][0][-1]["content"] for n in (1, 2, 3, 4)})
    assert "applied" == out["verdict"]


def test_the_chat_remembers_them_in_their_order():
    out = Play(FOUR).run()

    replies = [m["content"] for m in out["messages"] if m["role"] == "assistant"]
    assert [f"```python\n{source}\n```" for source in FOUR] == replies
    assert 8 == len(out["messages"])


def test_the_best_of_a_short_dry_run_is_tried_longer_and_applied():
    play = Play(FOUR, {"c = 3": {2: 0.1}})

    out = play.run()

    assert [*((source, 2) for source in FOUR), ("c = 3", 10)] == play.tried
    assert ["c = 3"] == play.applied
    rules = [a["findings"][0]["rule"] for a in out["attempts"] if not a["ok"]]
    assert 3 * ["left_behind"] == rules


def test_whoever_was_ahead_and_failed_is_followed_by_the_next_best():
    play = Play(FOUR, {"c = 3": {2: 0.1, 10: None}, "b = 2": {2: 0.2}})

    play.run()

    assert [("c = 3", 10), ("b = 2", 10)] == play.tried[4:]
    assert ["b = 2"] == play.applied


def test_a_try_of_which_none_passes_goes_back_with_every_finding():
    losses = {source: {2: None, 10: None} for source in FOUR}
    play = Play(FOUR, losses, max_attempts=1)

    out = play.run()

    assert "kept" == out["verdict"]
    assert 4 == len(out["attempts"])
    assert [] == play.applied


@pytest.mark.parametrize(
    "twin",
    [
        "a  =  1",
        "a = 1  # a comment",
        '"""Another text."""\na = 1',
        "\n\na = (1)\n",
    ],
)
def test_sources_that_differ_in_nothing_that_runs_are_tried_once(twin):
    play = Play(["a = 1", twin, "c = 3"], candidates=3)

    out = play.run()

    assert 2 == len({source for source, _ in play.tried})
    told = [data for kind, data in play.events if kind == "dry_run"]
    repeated = [
        d for d in told if d["findings"] and d["findings"][0]["rule"] == "repeated"
    ]
    assert [[1, 2]] == [data["number"] for data in repeated]
    assert 3 == len(out["attempts"])


def test_every_prompt_reply_and_dry_run_is_told():
    play = Play(FOUR)

    play.run()

    kinds = [kind for kind, _ in play.events]
    assert 4 * ["prompt"] + 4 * ["reply"] + 4 * ["static_check"] == kinds[:12]
    steps = [data.get("steps") for kind, data in play.events if kind == "dry_run"]
    assert [2, 2, 2, 2, None, None, None, None] == steps


def test_trouble_with_some_leaves_those_that_were_paid_for():
    play = Play([Status(503), "b = 2", Status(401), "d = 4"])

    out = play.run()

    assert "applied" == out["verdict"]
    assert [("b = 2", 2), ("d = 4", 2)] == play.tried[:2]


def test_where_the_budget_ends_in_between_the_others_are_asked():
    asked = []

    def require(messages, options):
        asked.append(messages)
        if len(asked) > 2:
            raise NoMoreCalls("nothing is left")

    play = Play(["a = 1", "b = 2"], candidates=2, require=require)
    play.options["strategy"] = SuccessiveHalving(OptimizerBrief(), 3)

    out = play.run()

    assert "applied" == out["verdict"]
    assert {1, 2} == set(play.asked)


@pytest.mark.parametrize("candidates", range(1, 40))
def test_rungs_grow_to_one_whole_dry_run(candidates):
    rungs = SuccessiveHalving(OptimizerBrief(), candidates).rungs(candidates)

    assert candidates == rungs[0].keep
    assert (1, 1.0) == (rungs[-1].keep, rungs[-1].share)
    assert all(a.keep > b.keep for a, b in zip(rungs, rungs[1:], strict=False))
    assert all(a.share < b.share for a, b in zip(rungs, rungs[1:], strict=False))


@pytest.mark.parametrize("execution", ["inline", "isolated"])
def test_an_agent_applies_the_best_of_several(execution):
    sources = [SGD.replace("lr=0.02", f"lr={rate}") for rate in (0.02, 0.03, 0.04)]
    model = models.make("mlp")
    with agent_over(
        model, *sources, candidates=3, execution=execution, limits={"seconds": 20.0}
    ) as agent:
        run(agent, 12)
        decision = agent.decide()

    assert "applied" == decision.verdict
    assert decision.usage["calls"] == 3
    assert decision.digest in [a["digest"] for a in decision.attempts if a["ok"]]


@pytest.mark.parametrize(
    ("budget", "calls"), [({"calls": 2}, 2), ({"tokens": 5000}, 2), ({"calls": 9}, 4)]
)
def test_calls_at_the_same_time_share_what_is_left_of_the_budget(budget, calls):
    sources = [SGD.replace("lr=0.02", f"lr={rate}") for rate in (1, 2, 3, 4)]
    lm = scripted(*sources)
    with agent_over(models.make("mlp"), lm=lm, candidates=4, budget=budget) as agent:
        run(agent, 12)
        decision = agent.decide()

    assert calls == len(lm.asked) == decision.usage["calls"]
