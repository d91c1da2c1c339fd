"""Schedules through the whole agent: what is tried, what is told, who is asked."""

import pytest
import torch
from torch.optim import lr_scheduler

from dux_agent import attach
from dux_agent.errors import BadArgument
from tests import models
from tests.schedulers_table import two_groups
from tests.swapping import ADAM, SGD
from tests.talking import run, scripted

MODES = pytest.mark.parametrize("execution", ["inline", "isolated"])


def scheduled(*sources, make=None, over="live", **options):
    """An agent over two groups, and its scheduler."""
    model = models.make("mlp")
    base = two_groups(model)
    make = make or (lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda s: 1.0))
    before = make(base) if over == "base" else None
    options = {"lm": scripted(*sources), "execution": "inline", **options}
    if options.pop("given", False):
        options["schedulers"] = before
    agent = attach(model, base, models.objective, **options)
    return agent, before or make(agent.optimizer)


def rates(agent):
    return [group["lr"] for group in agent.optimizer.param_groups]


def asked(agent):
    """The last prompt of its chat model."""
    return agent._decider._asked[0].chat.asked[-1][-1].content


@MODES
def test_a_rate_that_is_not_used_refuses_no_rule(execution):
    explodes = SGD.replace("lr=0.1", "lr=1e9")
    agent, scheduler = scheduled(explodes, execution=execution, lr_owner="scheduler")
    with agent:
        run(agent, 3)
        decision = agent.decide()
        scheduler.step()
        run(agent, 5)

        assert "applied" == decision.verdict
        assert [0.1, 0.02] == rates(agent)
    agent, _ = scheduled(explodes, execution=execution, max_attempts=1)
    with agent:
        run(agent, 3)

        assert "kept" == agent.decide().verdict


@MODES
@pytest.mark.parametrize("lr_owner", ["proposal", "scheduler"])
@pytest.mark.parametrize("source", [ADAM, SGD])
def test_a_rule_is_tried_at_the_rates_at_which_it_runs(execution, source, lr_owner):
    # The batch is one and the same: the live losses must repeat the dry run's.
    agent, scheduler = scheduled(
        source, execution=execution, lr_owner=lr_owner, dry_run_steps=3
    )
    batch = models.batches()[0]
    with agent:
        for _ in range(3):
            agent.step(batch)
            scheduler.step()
        agent.decide()
        tried = agent.decisions[0].attempts[0]["losses"]
        live = []
        for _ in range(3):
            live.append(float(agent.step(batch)))
            scheduler.step()

    assert pytest.approx(tried[:3], rel=1e-6) == live


def test_the_prompt_names_the_scheduler_and_who_owns_the_rate():
    def half(optimizer):
        return lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 ** (step / 6))

    agent, scheduler = scheduled(ADAM, make=half, every=6, total_steps=18)
    with agent:
        for step in range(6):
            agent.step(models.batches()[step % 3])
            scheduler.step()
    told = asked(agent)
    owning, other = scheduled(ADAM, make=half, lr_owner="scheduler")
    with owning:
        run(owning, 3)
        owning.decide()
    owned = asked(owning)

    assert "has a scheduler, LambdaLR" in told
    assert "(by 0.5 in all until then)" in told
    assert "Do not put the same schedule into the rule" in told
    assert "the scheduler owns the rate" in owned


def test_the_prompt_says_that_a_loop_computes_its_rates_and_nothing_where_none_does():
    model = models.make("mlp")
    base = torch.optim.SGD(model.parameters(), lr=0.1)
    with attach(model, base, models.objective, lm=scripted(ADAM)) as agent:
        for step in range(4):
            base.param_groups[0]["lr"] = 0.1 / (1 + step)
            agent.step(models.batches()[0])
        agent.decide()
        computed = asked(agent)
    other = models.make("mlp")
    plain = torch.optim.SGD(other.parameters(), lr=0.1)
    with attach(other, plain, models.objective, lm=scripted(ADAM)) as agent:
        run(agent, 4)
        agent.decide()
        nothing = asked(agent)

    assert "computes its own rates: by itself it would be at 0.025 now" in computed
    assert "schedule" not in nothing


def test_what_cannot_be_foretold_is_not_called_ahead():
    calls = []

    def counting(step):
        calls.append(step)
        return 0.9 ** len(calls)

    agent, scheduler = scheduled(
        ADAM,
        make=lambda optimizer: lr_scheduler.LambdaLR(optimizer, counting),
        every=4,
        total_steps=40,
    )
    with agent:
        for step in range(5):
            agent.step(models.batches()[step % 3])
            scheduler.step()

    # One call a group when it is made, one at each step, and none for the prompt.
    assert 2 * 6 == len(calls)
    assert "LambdaLR: by itself" in asked(agent)
    assert "when you are asked again" not in asked(agent).split("scheduler")[1][:80]


@pytest.mark.parametrize(
    "wrap", [lambda one: one, lambda one: [one], lambda one: {"scheduler": one}]
)
def test_schedulers_can_be_given(wrap):
    model = models.make("mlp")
    base = two_groups(model)
    scheduler = lr_scheduler.StepLR(base, 2, 0.5)
    with attach(
        model, base, models.objective, lm=scripted(ADAM), schedulers=wrap(scheduler)
    ) as agent:
        run(agent, 2)
        agent.decide()

        assert [scheduler] == agent.optimizer.schedule.schedulers


def test_what_is_no_scheduler_of_the_optimizer_is_refused():
    model, other = models.make("mlp"), models.make("mlp")
    base = two_groups(model)
    strange = lr_scheduler.StepLR(two_groups(other), 2)

    for given in (strange, [strange], "StepLR", [base]):
        with pytest.raises(BadArgument, match="leave schedulers out"):
            attach(model, base, models.objective, schedulers=given)


@pytest.mark.parametrize("prepared", ["before attach", "after attach"])
@pytest.mark.parametrize("kind", ["StepLR", "LambdaLR"])
def test_schedulers_in_accelerates_wrappers_are_followed(prepared, kind):
    accelerate = pytest.importorskip("accelerate")
    make = {
        "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
        "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda s: 0.5 ** (s // 2)),
    }[kind]
    accelerator = accelerate.Accelerator(cpu=True)
    model = models.make("mlp")
    base = two_groups(model)
    if prepared == "before attach":
        model, wrapped = accelerator.prepare(model, base)
        agent = attach(model, wrapped, models.objective, lm=scripted(ADAM))
        scheduler = accelerator.prepare(make(agent.optimizer))
        optimizer = agent.optimizer
    else:
        agent = attach(model, base, models.objective, lm=scripted(ADAM))
        optimizer, scheduler = accelerator.prepare(
            agent.optimizer, make(agent.optimizer)
        )
    seen = []
    with agent:
        for at in range(8):
            if at == 3:
                agent.decide()
            optimizer.zero_grad()
            loss = models.objective(model, models.batches()[0])
            accelerator.backward(loss)
            seen.append(rates(agent)[0])
            optimizer.step()
            agent.observe(loss, models.batches()[0])
            scheduler.step()
        agent.optimizer.guard.breach("for the test")

        assert (
            pytest.approx([0.1, 0.1, 0.05, 0.01, 0.005, 0.005, 0.0025, 0.0025]) == seen
        )
        assert pytest.approx(0.1 * 0.5**4) == rates(agent)[0]
