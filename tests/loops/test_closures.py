"""A loop that works in a closure trains on, whatever a rule makes of that closure."""

import pytest
import torch

from dux_agent import attach
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.swap import swap
from dux_sandbox import dry_run
from dux_sandbox.closures import ClosureUse
from tests import models
from tests.loops import rules
from tests.talking import agent_over, scripted, sgd

MODES = ["inline", "isolated"]
both_modes = pytest.mark.parametrize("execution", MODES)


class Loop:
    """All in the closure, as torch's documentation writes it; `calls` are counted."""

    def __init__(self, model, optimizer):
        self.model, self.optimizer = model, optimizer
        self.calls = 0
        self.results = []

    def step(self, batch):
        values = []

        def closure():
            self.calls += 1
            self.optimizer.zero_grad()
            loss = models.objective(self.model, batch)
            loss.backward()
            values.append(loss)
            return loss

        result = self.optimizer.step(closure)
        self.results.append((result, values))
        return result


def train(loop, steps, agent=None, first=0):
    batches = models.batches()
    for step in range(first, first + steps):
        batch = batches[step % len(batches)]
        loss = loop.step(batch)
        if agent is not None:
            agent.observe(loss, batch)


def weights(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def trained(source, execution, kind="mlp", steps=12):
    """A model that was trained in a closure loop across a swap, and its loop."""
    model = models.make(kind)
    torch.manual_seed(3)
    with agent_over(model, source, execution=execution) as agent:
        loop = Loop(model, agent.optimizer)
        train(loop, 4, agent)
        decision = agent.decide()
        train(loop, steps, agent, first=4)
        use = agent.optimizer.running.closure_use
    assert "applied" == decision.verdict, decision.reason
    return model, loop, use


@both_modes
@pytest.mark.parametrize("name", list(rules.EQUAL_TO_CALLS))
def test_every_step_evaluates_the_closure_once_whether_or_not_the_rule_does(
    execution, name
):
    expected, _, _ = trained(rules.CALLS, "inline")

    model, loop, _ = trained(rules.EQUAL_TO_CALLS[name], execution)

    assert 16 == loop.calls
    assert all(map(torch.equal, expected.parameters(), model.parameters()))
    for result, values in loop.results:
        assert result is values[0]


@both_modes
@pytest.mark.parametrize("kind", ["dropout", "batch norm"])
def test_a_rule_that_ignores_the_closure_costs_no_second_pass(execution, kind):
    expected, _, _ = trained(rules.CALLS, "inline", kind)

    model, _, use = trained(rules.IGNORES, execution, kind)

    assert ClosureUse.IGNORES == use
    assert all(map(torch.equal, expected.parameters(), model.parameters()))
    assert all(map(torch.equal, expected.buffers(), model.buffers()))


@both_modes
@pytest.mark.parametrize("name", list(rules.OTHERS))
def test_a_rule_with_a_way_of_its_own_still_trains(execution, name):
    model, loop, _ = trained(rules.OTHERS[name], execution, steps=40)
    other, _, _ = trained(rules.OTHERS[name], "inline", steps=40)

    before = float(loop.results[4][1][0].detach())
    assert float(loop.results[-1][0].detach()) < before
    assert all(len(values) > 0 for _, values in loop.results)
    assert all(map(torch.equal, other.parameters(), model.parameters()))


def test_a_rule_that_calls_twice_gets_two_evaluations_at_its_own_weights():
    model = models.make("mlp")
    live = DuxOptimizer(sgd(model), model=model)
    swap(live, rules.SHARPNESS)
    seen = []

    def closure():
        seen.append(weights(model)[0])
        live.zero_grad()
        loss = models.objective(model, models.batches()[0])
        loss.backward()
        return loss

    before = weights(model)[0]
    live.step(closure)
    evaluated = len(seen)
    live.step(closure)

    # It moves before it asks: what it moved by may be gradients, so they are there.
    assert (2, 4) == (evaluated, len(seen))
    assert torch.equal(before, seen[0])
    assert torch.equal(before + 0.01, seen[1])


@both_modes
def test_the_dry_run_leaves_the_gradients_to_the_closure(execution):
    model = models.make("mlp")
    optimizer = sgd(model)

    reports = {
        name: dry_run(
            source, model, optimizer, models.objective, models.batches(), closure=True
        )
        for name, source in rules.EQUAL_TO_CALLS.items()
    }

    assert {True} == {report.ok for report in reports.values()}
    assert 1 == len({report.losses for report in reports.values()})
    assert reports["ignores"].losses[-1] < reports["ignores"].losses[0]


def test_a_step_that_demands_its_closure_is_refused_where_the_loop_passes_none():
    model = models.make("mlp")

    report = dry_run(
        rules.DEMANDS, model, sgd(model), models.objective, models.batches()
    )

    (finding,) = report.findings
    assert "closure" == finding.rule
    assert "this training loop passes none" in finding.message
    assert "closure=None" in finding.instead


@both_modes
def test_a_closure_that_returns_nothing_passes_and_is_no_closure(execution):
    model, twin = models.make("mlp"), models.make("mlp")
    verdicts = []
    for each, quiet in ((model, True), (twin, False)):
        torch.manual_seed(3)
        with agent_over(
            each, rules.CALLS, rules.DEMANDS, execution=execution, max_attempts=1
        ) as agent:
            optimizer = agent.optimizer
            for step in range(12):
                batch = models.batches()[step % 3]
                optimizer.zero_grad()
                loss = models.objective(each, batch)
                loss.backward()
                if quiet:
                    assert optimizer.step(lambda: None) is None
                else:
                    optimizer.step()
                agent.observe(loss, batch)
                if step in (3, 7):
                    agent.decide()
            verdicts.append([decision.verdict for decision in agent.decisions])
            assert not optimizer.passes_closure

    assert [["applied", "kept"]] * 2 == verdicts
    assert all(map(torch.equal, twin.parameters(), model.parameters()))


@both_modes
@pytest.mark.parametrize(
    "value", [None, ("a pair", 1), {"loss": 1.0}, torch.ones(3), "text"]
)
def test_a_closure_that_was_heeded_may_return_anything_later(execution, value):
    model = models.make("mlp")
    with agent_over(model, rules.CALLS, execution=execution) as agent:
        loop = Loop(model, agent.optimizer)
        train(loop, 4, agent)
        agent.decide()
        train(loop, 4, agent)
        results = [agent.optimizer.step(lambda: value) for _ in range(3)]
        train(loop, 4, agent)
        verdict = agent.decisions[0].verdict

    assert "applied" == verdict
    assert all(result is value for result in results)


@both_modes
@pytest.mark.parametrize("name", ["calls", "ignores", "takes none"])
def test_an_error_of_the_closure_comes_out_and_training_goes_on(execution, name):
    model = models.make("mlp")
    with agent_over(model, rules.EQUAL_TO_CALLS[name], execution=execution) as agent:
        loop = Loop(model, agent.optimizer)
        train(loop, 4, agent)
        agent.decide()
        train(loop, 4, agent)
        before, rule = weights(model), agent.optimizer.running

        def broken():
            raise LookupError("the caller's own")

        with pytest.raises(LookupError, match="the caller's own"):
            agent.optimizer.step(broken)
        same = all(map(torch.equal, before, model.parameters()))
        train(loop, 4, agent)

        assert agent.optimizer.running is rule
    assert same
    assert not torch.equal(before[0], next(model.parameters()))


@both_modes
def test_a_rule_that_fails_in_its_first_step_leaves_the_incumbents_run(execution):
    fails = rules.IGNORES.replace("self.t += 1", "self.t += 1 + self.t // 0")
    expected = models.make("dropout")
    torch.manual_seed(3)
    train(Loop(expected, sgd(expected)), 10)
    model = models.make("dropout")
    torch.manual_seed(3)
    with agent_over(model, rules.IGNORES, execution=execution) as agent:
        loop = Loop(model, agent.optimizer)
        train(loop, 5, agent)
        swap(agent.optimizer, fails)
        train(loop, 5, agent, first=5)

        assert agent.optimizer.running is agent.optimizer.base_rule
    assert all(map(torch.equal, expected.parameters(), model.parameters()))


@both_modes
def test_a_closure_that_zeroes_nothing_is_not_added_up_when_the_rule_fails(execution):
    fails = rules.CALLS.replace("return loss", "return loss if self.t < 5 else 1 // 0")
    model = models.make("mlp")
    with agent_over(model, rules.CALLS, execution=execution) as agent:
        live = agent.optimizer
        swap(live, fails)
        seen = []

        def closure():
            loss = models.objective(model, models.batches()[0])
            loss.backward()
            seen.append([parameter.grad.clone() for parameter in model.parameters()])
            return loss

        for _ in range(5):
            live.zero_grad()
            live.step(closure)

    assert live.running is live.base_rule
    # Five steps of the rule; then the base's, on the weights of the first.
    assert 6 == len(seen)
    assert all(map(torch.equal, seen[0], seen[-1]))


@both_modes
def test_gradient_norms_are_those_that_the_closure_leaves(execution):
    said = []
    for closure in (False, True):
        model, chat = models.make("mlp"), scripted(rules.IGNORES)
        with agent_over(model, lm=chat, execution=execution, every=4) as agent:
            loop = Loop(model, agent.optimizer)
            for step in range(12):
                if closure:
                    # Nothing is left from the step before.
                    agent.optimizer.zero_grad()
                    train(loop, 1, agent, first=step)
                else:
                    agent.step(models.batches()[step % 3])
        prompts = [messages[-1].content for messages in chat.asked]
        lines = [line for text in prompts for line in text.splitlines()]
        said.append([line for line in lines if "gradient norm" in line])

    assert 6 == len(said[0])
    assert not any("none recorded" in line or "not given" in line for line in said[0])
    assert said[0] == said[1]


@both_modes
def test_lbfgs_as_the_base_keeps_its_own_way_with_a_closure(execution):
    expected, model = models.make("mlp"), models.make("mlp")
    plain = torch.optim.LBFGS(expected.parameters(), lr=0.1, max_iter=3)
    base = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
    with attach(model, base, models.objective, execution=execution) as agent:
        one, other = Loop(expected, plain), Loop(model, agent.optimizer)
        train(one, 5)
        train(other, 5, agent)
        same = all(map(torch.equal, expected.parameters(), model.parameters()))
        swap(agent.optimizer, rules.IGNORES)
        train(other, 3, agent, first=5)
        agent.optimizer.guard.breach("for the test")
        train(one, 5, first=5)
        train(other, 5, agent, first=5)

    assert one.calls + 3 == other.calls
    assert same
    assert all(map(torch.equal, expected.parameters(), model.parameters()))


@both_modes
def test_what_a_rule_does_with_closures_is_in_its_checkpoint(execution):
    model = models.make("dropout")
    runs = []
    with agent_over(model, rules.SHARPNESS, execution=execution) as agent:
        loop = Loop(model, agent.optimizer)
        train(loop, 4, agent)
        agent.decide()
        train(loop, 4, agent)
        kept = agent.state_dict()
        held = {name: value.clone() for name, value in model.state_dict().items()}
        random = torch.get_rng_state()
        train(loop, 4, agent)
        runs.append(weights(model))
    fresh = models.make("dropout")
    with agent_over(fresh, rules.SHARPNESS, execution=execution) as agent:
        fresh.load_state_dict(held)
        agent.load_state_dict(kept)
        torch.set_rng_state(random)
        train(Loop(fresh, agent.optimizer), 4, agent)
        runs.append(weights(fresh))

    assert all(map(torch.equal, *runs))
