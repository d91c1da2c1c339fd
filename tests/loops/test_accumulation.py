"""Losses that belong to one optimizer step count as one, in the objective's scale."""

import copy
import logging

import pytest
import torch

import dux_agent
from dux_agent.errors import BadArgument
from dux_sandbox import dry_run
from tests import models
from tests.loops import rules
from tests.talking import Scripted, agent_over, fenced, sgd

both_modes = pytest.mark.parametrize("execution", ["inline", "isolated"])
EVERY, STEPS, MICRO = 3, 10, 4


class Asked(Scripted):
    """Notes at every decision whether gradients waited for a step."""

    loop: list = []
    waiting: list = []

    def _generate(self, *arguments, **options):
        self.waiting.append(any(each.gradients_wait() for each in self.loop))
        return super()._generate(*arguments, **options)


def micro_batches(count):
    generator = torch.Generator().manual_seed(11)
    inputs = [torch.randn(6, 6, generator=generator) for _ in range(count)]
    return [(each, each.sum(1, keepdim=True)) for each in inputs]


class Loop:
    """Accumulates `micro` batches for each of its steps; subclasses tell of losses."""

    def __init__(self, model, optimizer, agent=None, micro=MICRO, divide=True):
        self.model, self.optimizer, self.agent = model, optimizer, agent
        self.micro, self.scale = micro, 1 / micro if divide else 1.0
        self.steps = 0
        self.waiting = False
        self.losses = []

    def gradients_wait(self):
        """Whether a backward pass was made that no step has used."""
        return self.waiting and self.optimizer.steps == self.steps

    def run(self, steps):
        batches = micro_batches(24)
        first = self.steps
        for step in range(first, first + steps):
            self.begin()
            for turn in range(self.micro):
                batch = batches[(step * self.micro + turn) % len(batches)]
                loss = models.objective(self.model, batch) * self.scale
                self.backward(loss)
                self.waiting = True
                self.losses.append(float(loss.detach()))
                self.before_step(loss, batch)
                if turn == self.micro - 1:
                    self.step()
                self.after_step(loss, batch, turn)
        return self

    def begin(self):
        self.optimizer.zero_grad()

    def backward(self, loss):
        loss.backward()

    def step(self):
        self.optimizer.step()
        self.waiting = False
        self.steps += 1

    def tell(self, loss, batch):
        if self.agent is not None:
            self.agent.observe(loss, batch)

    def before_step(self, loss, batch):
        pass

    def after_step(self, loss, batch, turn):
        pass


class EachBatch(Loop):
    def after_step(self, loss, batch, turn):
        self.tell(loss, batch)


class EachBatchBeforeTheStep(Loop):
    def before_step(self, loss, batch):
        self.tell(loss, batch)


class ZeroesAfterTheStep(EachBatch):
    def begin(self):
        pass

    def step(self):
        super().step()
        self.optimizer.zero_grad()


class KeepsZeros(EachBatch):
    def begin(self):
        self.optimizer.zero_grad(set_to_none=False)


class ZeroesTheModel(EachBatchBeforeTheStep):
    def begin(self):
        self.model.zero_grad()


class OncePerStep(Loop):
    def after_step(self, loss, batch, turn):
        if turn == self.micro - 1:
            self.tell(sum(self.losses[-self.micro :]) / self.micro / self.scale, batch)


class ClosureOfAll(OncePerStep):
    def backward(self, loss):
        loss.backward()

    def step(self):
        self.optimizer.step(lambda: None)
        self.waiting = False
        self.steps += 1


LOOPS = [
    EachBatch,
    EachBatchBeforeTheStep,
    ZeroesAfterTheStep,
    KeepsZeros,
    ZeroesTheModel,
    OncePerStep,
    ClosureOfAll,
]


@both_modes
@pytest.mark.parametrize("kind", LOOPS)
@pytest.mark.parametrize("micro", [1, MICRO])
def test_decisions_go_by_optimizer_steps_and_never_meet_waiting_gradients(
    execution, kind, micro
):
    model = models.make("mlp")
    lm = Asked(replies=[fenced(rules.CALLS)])
    with agent_over(model, lm=lm, execution=execution, every=EVERY) as agent:
        loop = kind(model, agent.optimizer, agent, micro)
        lm.loop.append(loop)
        loop.run(STEPS)
        counted = agent.step_count
        steps = [decision.step for decision in agent.decisions]
        verdicts = {decision.verdict for decision in agent.decisions}

    before = kind in (EachBatchBeforeTheStep, ZeroesTheModel)
    assert STEPS == loop.steps
    # What is told before a step is known to belong to it when the next loss comes.
    assert STEPS - before == counted
    assert [3, 6, 9] == steps
    assert {False} == set(lm.waiting)
    assert {"applied"} == verdicts


@pytest.mark.parametrize("kind", LOOPS)
def test_an_agent_that_never_decides_leaves_the_loop_bit_for_bit(kind):
    model, twin = models.make("dropout"), models.make("dropout")
    torch.manual_seed(4)
    with agent_over(model, rules.CALLS) as agent:
        watched = kind(model, agent.optimizer, agent).run(STEPS)
    torch.manual_seed(4)
    alone = kind(twin, sgd(twin)).run(STEPS)

    assert alone.losses == watched.losses
    assert all(map(torch.equal, twin.parameters(), model.parameters()))


@both_modes
@pytest.mark.parametrize("kind", [EachBatch, ZeroesAfterTheStep, OncePerStep])
def test_the_model_is_shown_the_losses_of_whole_batches(execution, kind):
    def figures(loop_of):
        model = models.make("mlp")
        lm = Asked(replies=[fenced(rules.CALLS)])
        with agent_over(model, lm=lm, execution=execution, every=5) as agent:
            loop_of(model, agent)
            attempts = [each.attempts[0] for each in agent.decisions]
        text = [messages[-1].content.splitlines() for messages in lm.asked]
        lines = [line for lines in text for line in lines if "loss" in line]
        return lines, [each["losses"] for each in attempts]

    def whole(model, agent):
        batches = micro_batches(24)
        for step in range(STEPS):
            parts = [batches[(step * MICRO + turn) % 24] for turn in range(MICRO)]
            agent.step(tuple(map(torch.cat, zip(*parts, strict=True))))

    expected, _ = figures(whole)
    found, losses = figures(
        lambda model, agent: kind(model, agent.optimizer, agent).run(STEPS)
    )

    assert expected == found
    assert all(0.1 < loss < 20 for row in losses for loss in row)


@pytest.mark.parametrize("kind", ["mlp", "dropout", "batch norm"])
@pytest.mark.parametrize("micro", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("loop", [EachBatch, EachBatchBeforeTheStep, KeepsZeros])
def test_the_scale_is_found_on_the_first_batch_with_one_call(loop, micro, kind, caplog):
    model = models.make(kind)
    calls = []

    def counted(net, batch):
        calls.append(1)
        return models.objective(net, batch)

    with dux_agent.attach(model, sgd(model), counted, execution="inline") as agent:
        loop(model, agent.optimizer, agent, micro).run(3)
        scale = agent.state_dict()["loop"]["scale"]

    assert 1 / micro == scale
    assert [1] == calls
    assert [] == caplog.records


def test_a_scale_that_is_given_is_taken_and_the_objective_only_looked_at_once():
    model = models.make("mlp")
    calls = []

    def counted(net, batch):
        calls.append(1)
        return models.objective(net, batch)

    class Given(EachBatch):
        def tell(self, loss, batch):
            self.agent.observe(loss * 1000, batch, scale=1000 * self.scale)

    with dux_agent.attach(model, sgd(model), counted, execution="inline") as agent:
        loop = Given(model, agent.optimizer, agent).run(4)
        losses = [loss for _, loss in agent.training.statistics.draw()]

    whole = [sum(loop.losses[i : i + MICRO]) for i in range(0, 16, MICRO)]
    assert losses == pytest.approx(whole, rel=1e-5)
    assert [1] == calls


@pytest.mark.parametrize("scale", [0, -1.0, float("inf"), float("nan"), "1/4", True])
def test_a_scale_that_cannot_be_is_refused(scale):
    model = models.make("mlp")
    with agent_over(model, rules.CALLS) as agent:
        with pytest.raises(BadArgument, match="a number above 0 was wanted"):
            agent.observe(1.0, models.batches()[0], scale=scale)


@pytest.mark.parametrize("factor", [0.3, 1.1, 7.0, -1.0])
def test_another_loss_than_the_objectives_is_taken_as_it_is_with_one_warning(
    factor, caplog
):
    model = models.make("mlp")

    class Other(EachBatch):
        def tell(self, loss, batch):
            self.agent.observe(loss.detach() * factor, batch)

    with caplog.at_level(logging.WARNING), agent_over(model, rules.CALLS) as agent:
        Other(model, agent.optimizer, agent, 1).run(8)
        scale = agent.state_dict()["loop"]["scale"]

    (record,) = caplog.records
    assert "agent.observe(loss, batch, scale=...)" in record.getMessage()
    assert 1.0 == scale


@pytest.mark.parametrize("broken", ["raises", "zero", "nan", "vector"])
def test_an_objective_that_cannot_be_compared_is_no_fault_of_a_step(broken, caplog):
    model = models.make("mlp")

    sound = True

    def objective(net, batch):
        if sound:
            return models.objective(net, batch)
        if broken == "raises":
            raise LookupError("the caller's own")
        loss = models.objective(net, batch)
        return {"zero": loss * 0, "nan": loss * float("nan")}.get(broken, net(batch[0]))

    options = {"execution": "inline", "batch": models.batches()[0]}
    with dux_agent.attach(model, sgd(model), objective, **options) as agent:
        sound = False
        before = copy.deepcopy(model.state_dict())
        EachBatch(model, agent.optimizer, agent).run(2)

        assert 2 == agent.step_count
    assert any(not torch.equal(before[k], v) for k, v in model.state_dict().items())


@both_modes
def test_steps_that_a_grad_scaler_leaves_out_are_no_steps(execution):
    model, twin = models.make("mlp"), models.make("mlp")

    def train(model, optimizer, agent):
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4, growth_interval=100)
        taken = 0
        for step in range(18):
            batch = models.batches()[step % 3]
            optimizer.zero_grad()
            loss = models.objective(model, batch)
            scaler.scale(loss).backward()
            if step % 3 == 1:
                next(model.parameters()).grad[0] = float("inf")
            before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            taken += scaler.get_scale() >= before
            if agent is not None:
                agent.observe(loss.detach(), batch)
        return taken

    with agent_over(model, rules.CALLS, execution=execution, every=100) as agent:
        taken = train(model, agent.optimizer, agent)
        steps = agent.step_count
    train(twin, sgd(twin), None)

    assert 12 == taken == steps
    assert all(map(torch.equal, twin.parameters(), model.parameters()))


@pytest.mark.parametrize("infinite", [False, True])
def test_a_fused_base_under_a_grad_scaler_is_seen_as_it_is(infinite):
    model = models.make("mlp")
    base = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    with dux_agent.attach(model, base, models.objective, execution="inline") as agent:
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        norms = []
        for step in range(8):
            batch = models.batches()[step % 3]
            agent.optimizer.zero_grad()
            loss = models.objective(model, batch)
            scaler.scale(loss).backward()
            squares = [p.grad.square().sum() for p in model.parameters()]
            norms.append(float(sum(squares).sqrt()) / scaler.get_scale())
            if infinite and step == 3:
                next(model.parameters()).grad[0] = float("inf")
            scaler.step(agent.optimizer)
            scaler.update()
            agent.observe(loss.detach(), batch)
        mean = agent.training.statistics.norms.mean()

    assert 8 - infinite == agent.step_count
    assert min(norms) <= mean <= max(norms)


@both_modes
def test_losses_told_now_and_then_count_the_steps_between(execution):
    model = models.make("mlp")
    with agent_over(model, rules.CALLS, execution=execution, every=10) as agent:
        for step in range(24):
            batch = models.batches()[step % 3]
            agent.optimizer.zero_grad()
            loss = models.objective(model, batch)
            loss.backward()
            agent.optimizer.step()
            if step % 4 == 3:
                agent.observe(loss, batch)

        assert 24 == agent.step_count
        assert [12, 20] == [decision.step for decision in agent.decisions]


def test_a_step_of_a_checkpointing_tool_is_no_step():
    from torch.distributed.checkpoint.state_dict import get_state_dict

    model = models.make("mlp")
    with agent_over(model, rules.IGNORES) as agent:
        loop = EachBatch(model, agent.optimizer, agent)
        loop.run(2)
        agent.optimizer.zero_grad()
        agent.optimizer.state.clear()
        get_state_dict(model, agent.optimizer)
        loop.run(2)

        assert 4 == agent.step_count


@both_modes
def test_a_run_saved_in_mid_accumulation_goes_on_with_what_was_told(execution):
    def steps(model, agent, first, last):
        for turn in range(first, last):
            batch = micro_batches(24)[turn % 24]
            if turn % MICRO == 0:
                agent.optimizer.zero_grad()
            loss = models.objective(model, batch) / MICRO
            loss.backward()
            if turn % MICRO == MICRO - 1:
                agent.optimizer.step()
            agent.observe(loss.detach(), batch)

    model = models.make("mlp")
    options = {"execution": execution, "every": 5}
    with agent_over(model, rules.CALLS, **options) as agent:
        steps(model, agent, 0, 26)
        weights = copy.deepcopy(model.state_dict())
        gradients = [p.grad.clone() for p in model.parameters()]
        kept = agent.state_dict()
        steps(model, agent, 26, 48)
        expected = agent.state_dict()["watch"]
        decided = [(each.step, each.verdict) for each in agent.decisions]
    other = models.make("mlp")
    with agent_over(other, rules.CALLS, **options) as agent:
        other.load_state_dict(weights)
        agent.load_state_dict(kept)
        for parameter, gradient in zip(other.parameters(), gradients, strict=True):
            parameter.grad = gradient
        steps(other, agent, 26, 48)

        assert decided == [(each.step, each.verdict) for each in agent.decisions]
        assert expected == agent.state_dict()["watch"]
    assert all(map(torch.equal, model.parameters(), other.parameters()))


def test_a_dry_run_step_adds_up_the_gradients_of_as_many_batches():
    model = models.make("mlp")
    batches = micro_batches(24)
    whole = [
        tuple(map(torch.cat, zip(*batches[i : i + MICRO], strict=True)))
        for i in range(0, 24, MICRO)
    ]

    def losses(batches, **options):
        return dry_run(
            rules.CALLS, model, sgd(model), models.objective, batches, **options
        )

    expected = losses(whole)
    mean = losses(batches, accumulate=MICRO, weight=1 / MICRO)
    total = losses(batches, accumulate=MICRO)
    by_closure = losses(batches, accumulate=MICRO, weight=1 / MICRO, closure=True)

    assert expected.losses == pytest.approx(mean.losses, rel=1e-4)
    assert expected.incumbent_losses == pytest.approx(mean.incumbent_losses, rel=1e-4)
    assert mean.losses == by_closure.losses
    assert total.losses[0] == mean.losses[0]
    assert total.losses[1] != pytest.approx(mean.losses[1], rel=1e-3)


@both_modes
@pytest.mark.parametrize("divide", [False, True], ids=["sums", "means"])
def test_the_dry_run_of_a_loop_that_accumulates_foretells_its_losses(execution, divide):
    model = models.make("mlp")
    batches = micro_batches(24)
    with agent_over(model, rules.CALLS, execution=execution, dry_run_steps=24) as agent:
        loop = EachBatch(model, agent.optimizer, agent, divide=divide).run(6)
        decision = agent.decide()
        told = decision.attempts[0]["losses"][:6]
        loop.run(6)

    assert "applied" == decision.verdict
    assert 24 == len(batches)
    scaled = [loss / loop.scale for loss in loop.losses[24:]]
    live = [sum(scaled[i : i + MICRO]) / MICRO for i in range(0, 24, MICRO)]
    assert live == pytest.approx(told, rel=1e-4)


@pytest.mark.parametrize("bound", [None, 0.05, 1e-4])
def test_a_loop_that_clips_is_told_of_and_norms_are_said_to_be_clipped(bound):
    model = models.make("mlp")
    lm = Asked(replies=[fenced(rules.CALLS)])
    with agent_over(model, lm=lm, every=20) as agent:
        for step in range(20):
            batch = models.batches()[step % 3]
            agent.optimizer.zero_grad()
            loss = models.objective(model, batch)
            loss.backward()
            if bound is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), bound)
            agent.optimizer.step()
            agent.observe(loss, batch)
    prompt = lm.asked[0][-1].content

    assert "mean gradient norm, as the steps found it" in prompt
    if bound is None:
        assert "clips" not in prompt
    else:
        assert f"the loop clips gradients to a norm of {bound}" in prompt


def test_a_loss_that_another_optimizer_moves_is_no_reason_to_warn(caplog):
    model = models.make("mlp")
    other = torch.optim.SGD(model[2].parameters(), lr=0.01)
    first = torch.optim.SGD(model[0].parameters(), lr=0.01)

    with (
        caplog.at_level(logging.WARNING),
        dux_agent.attach(model, first, models.objective) as agent,
    ):
        for batch in models.batches(6):
            model.zero_grad()
            loss = models.objective(model, batch)
            loss.backward()
            other.step()
            agent.optimizer.step()
            agent.observe(loss, batch)
        scale = agent.state_dict()["loop"]["scale"]

    assert [] == caplog.records
    assert 1.0 == scale
