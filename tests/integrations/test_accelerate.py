"""`attach(accelerator, ...)` in a loop of Accelerate's: one line more in it."""

import logging
import runpy
import sys
import warnings

import pytest
import torch

import dux_agent
from dux_agent.errors import BadArgument, MissingExtra
from tests import models
from tests.loops.ends import assert_same, ends
from tests.sources import EXPLODES, MOMENTUM
from tests.talking import scripted

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    accelerate = pytest.importorskip("accelerate")
    from dux_agent.integrations.accelerate import _OBSERVERS, attach

pytestmark = pytest.mark.filterwarnings("ignore")

STEPS = 12
GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")
ORDERS = ("attached first", "prepared first")


@pytest.fixture(autouse=True)
def nothing_left_of_another_test():
    """Accelerate keeps its choice of precision for the whole process."""
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


def loader_of(count):
    """A loader that gives what `models.batches` gives."""
    batches = models.batches(count)
    whole = [torch.cat(parts) for parts in zip(*batches, strict=True)]
    data = torch.utils.data.TensorDataset(*whole)
    return torch.utils.data.DataLoader(data, batch_size=len(batches[0][0]))


class Loop:
    """Somebody's script, in pieces."""

    def __init__(self, source=None, order=ORDERS[0], kind="mlp", every=4, **options):
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
        execution = options.pop("execution", "inline")
        self.accelerator = accelerate.Accelerator(cpu=True, **options)
        torch.manual_seed(0)
        self.model, self.agent, self.losses = models.KINDS[kind](), None, []
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.02, momentum=0.9)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 3, 0.5)
        self.loader = loader_of(24)
        if order == "prepared first":
            self.prepare()
        if source is not None:
            self.agent = attach(
                self.accelerator,
                self.model,
                self.optimizer,
                models.objective,
                lm=scripted(source),
                every=every,
                total_steps=STEPS,
                max_attempts=1,
                execution=execution,
            )
        if order != "prepared first":
            self.prepare()

    def prepare(self):
        self.model, self.optimizer, self.loader, self.schedule = (
            self.accelerator.prepare(
                self.model, self.optimizer, self.loader, self.schedule
            )
        )

    def train(self, first=0, until=24, observes=False):
        loader = self.accelerator.skip_first_batches(self.loader, first)
        for _, batch in zip(range(first, until), loader, strict=False):
            with self.accelerator.accumulate(self.model):
                loss = models.objective(self.model, batch)
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.model.parameters(), 5.0)
                self.optimizer.step()
                self.schedule.step()
                self.optimizer.zero_grad()
            if observes:
                self.agent.observe(loss, batch)
            self.losses.append(float(loss))
        return self

    def end(self):
        self.agent.close()
        return [each.verdict for each in self.agent.decisions]


OPTIONS = {
    "plain": {},
    "accumulating": {"gradient_accumulation_steps": 2},
    "bfloat16": {"mixed_precision": "bf16"},
    "dropout": {"kind": "dropout"},
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", OPTIONS)
def test_losses_are_those_of_no_agent_while_it_decides_nothing(name, order):
    expected = Loop(order=order, **OPTIONS[name]).train()

    found = Loop(EXPLODES, order, **OPTIONS[name]).train()

    assert set(found.end()) == {"kept"}
    assert expected.losses == found.losses
    assert_same(ends(expected.model), ends(found.model))


def plain_loop(execution):
    """The same training in a loop of one's own."""
    torch.manual_seed(0)
    model, losses = models.mlp(), []
    base = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    with dux_agent.attach(
        model,
        base,
        models.objective,
        lm=scripted(GENTLE),
        every=4,
        total_steps=STEPS,
        max_attempts=1,
        execution=execution,
    ) as agent:
        schedule = torch.optim.lr_scheduler.StepLR(agent.optimizer, 3, 0.5)
        for batch in models.batches(24)[:STEPS]:
            agent.optimizer.zero_grad()
            loss = models.objective(model, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            agent.optimizer.step()
            agent.observe(loss, batch)
            schedule.step()
            losses.append(float(loss))
    return losses, ends(model)


@pytest.mark.parametrize("execution", ["inline", "isolated"])
@pytest.mark.parametrize("observes", [False, True])
def test_a_rule_does_what_it_does_in_a_plain_loop(execution, observes):
    losses, weights = plain_loop(execution)

    for order in ORDERS:
        loop = Loop(GENTLE, order, execution=execution)
        loop.train(until=STEPS, observes=observes)

        assert ["applied", "applied"] == loop.end()
        assert losses == loop.losses
        assert_same(weights, ends(loop.model))


@pytest.mark.parametrize("observes", [False, True])
def test_each_batch_is_told_once_and_a_step_is_a_step(observes):
    loop = Loop(EXPLODES, gradient_accumulation_steps=3).train(observes=observes)

    told = loop.agent.state_dict()
    loop.end()
    means = [sum(loop.losses[at : at + 3]) / 3 for at in range(0, 24, 3)]
    assert 8 == loop.agent.step_count
    assert 3 == loop.agent.training.intake.accumulated
    assert means[4:] == pytest.approx(list(told["watch"]["recent"])[4:], rel=1e-6)


@pytest.mark.parametrize(
    ("execution", "at", "options"),
    [
        ("inline", 7, {"kind": "dropout"}),
        ("isolated", 9, {}),
        ("inline", 10, {"gradient_accumulation_steps": 2}),
    ],
)
@pytest.mark.parametrize("order", ORDERS)
def test_a_run_that_died_goes_on_to_the_last_bit(
    tmp_path, execution, at, options, order
):
    options = {"every": 3, "execution": execution, **options}
    whole = Loop(GENTLE, order, **options).train(until=at)
    whole.accelerator.save_state(str(tmp_path))
    whole.train(at)
    first = whole.end()
    again = Loop(GENTLE, order, **options)
    torch.manual_seed(99)

    again.accelerator.load_state(str(tmp_path))
    again.train(at)

    assert whole.losses[at:] == again.losses
    assert_same(ends(whole.model), ends(again.model))
    assert first == again.end() and "applied" in first


def test_a_checkpoint_is_loaded_where_there_is_no_agent(tmp_path):
    loop = Loop(GENTLE).train()
    loop.accelerator.save_state(str(tmp_path))
    alone = Loop()

    alone.accelerator.load_state(str(tmp_path))
    alone.train()

    saved = torch.load(tmp_path / "optimizer.bin", weights_only=True)
    assert "applied" in loop.end()
    assert {"momentum_buffer"} == set(saved["state"][0])
    assert 24 == len(alone.losses)


def test_two_agents_are_told_of_their_own_losses():
    accelerator = accelerate.Accelerator(cpu=True)
    torch.manual_seed(0)
    pair = [models.mlp(), models.mlp()]
    steps = [torch.optim.SGD(each.parameters(), lr=0.01) for each in pair]
    agents = [
        attach(accelerator, *each, models.objective, lm=scripted(EXPLODES))
        for each in zip(pair, steps, strict=True)
    ]
    loader = loader_of(6)
    *steps, loader = accelerator.prepare(*steps, loader)
    told = [[], []]

    for batch in loader:
        for model, optimizer, losses in zip(pair, steps, told, strict=True):
            loss = models.objective(model, batch)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss))

    for agent, losses in zip(agents, told, strict=True):
        assert losses == list(agent.state_dict()["watch"]["recent"])
        agent.close()


def test_decisions_go_to_the_trackers():
    logged = []
    loop = Loop(GENTLE)
    loop.accelerator.log = lambda values, step: logged.append((step, values))

    loop.train(until=STEPS)

    loop.end()
    assert [4, 8] == [step for step, _ in logged]
    assert [1.0, 2.0] == [values["dux/applied"] for _, values in logged]


def test_batches_that_nobody_saw_are_asked_for(caplog):
    loop = Loop(GENTLE)
    caplog.set_level(logging.WARNING)

    for batch in models.batches(3):
        loop.accelerator.backward(models.objective(loop.model, batch))
        loop.optimizer.step()

    loop.end()
    assert 1 == caplog.text.count("prepare the data loader with accelerator.prepare")


def test_without_accelerate_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)

    with pytest.raises(MissingExtra, match=r"pip install 'dux-agent\[accelerate\]'$"):
        runpy.run_module("dux_agent.integrations.accelerate")


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("FSDP", r"shards what it prepares \(FSDP\).*attach after accelerator.prepare"),
        ("DEEPSPEED", "runs on DEEPSPEED.*a torch optimizer was wanted"),
        ("MEGATRON_LM", "runs on MEGATRON_LM"),
    ],
)
def test_what_an_accelerator_steps_or_shards_itself_is_refused(kind, found):
    accelerator = accelerate.Accelerator(cpu=True)
    accelerator.state.distributed_type = accelerate.DistributedType(kind)
    model = models.mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.02)

    with pytest.raises(BadArgument, match=found):
        attach(accelerator, model, optimizer, models.objective, lm="offline")


def test_what_a_loader_draws_for_each_batch_leaves_the_scale_of_losses_known(caplog):
    caplog.set_level(logging.WARNING)
    found = Loop(MOMENTUM, kind="dropout", every=100)
    draws = found.loader.dataset.__getitem__
    found.loader.dataset.__class__ = type(
        "Drawing",
        (type(found.loader.dataset),),
        {"__getitem__": lambda _, at: torch.rand(1) and draws(at)},
    )

    found.train()

    assert 1.0 == found.agent.training.intake.scale.value
    assert "was observed where the objective gives" not in caplog.text
    found.agent.close()


def test_a_loss_that_waits_for_its_step_keeps_no_graph():
    loop = Loop(GENTLE)
    loss = models.objective(loop.model, next(iter(loop.loader)))
    loop.accelerator.backward(loss)

    [observer] = vars(loop.accelerator)[_OBSERVERS]

    assert loss.item() == observer._held.item()
    assert observer._held.grad_fn is None


class Unprepared(Loop):
    """A script that calls `accelerator.prepare` later."""

    def prepare(self):
        pass


@pytest.mark.parametrize("order", ORDERS)
def test_an_agent_that_is_attached_again_takes_the_place_of_the_one_before(order):
    if order == "prepared first":
        loop = Loop(GENTLE, order).train(until=6)
    else:
        loop = Unprepared(GENTLE, order)
    former, steps = loop.agent, loop.agent.step_count

    again = attach(
        loop.accelerator,
        loop.model,
        loop.optimizer,
        models.objective,
        lm=scripted(GENTLE),
        every=4,
        execution="inline",
    )
    if order != "prepared first":
        Loop.prepare(loop)
    loop.train(until=12)
    saved = loop.optimizer.state_dict()
    again.close()

    assert former.closed
    assert (steps, 12) == (former.step_count, again.step_count)
    assert {"applied"} == {each.verdict for each in again.decisions}
    assert 12 == saved["dux_agent"]["watch"]["step"]
    assert again.optimizer is loop.optimizer.optimizer
    assert again.optimizer is loop.schedule.scheduler.optimizer


def test_a_loop_goes_on_when_its_agent_is_closed():
    loop = Loop(GENTLE).train(until=6)
    loop.end()

    loop.train(until=6)

    assert 6 == loop.agent.step_count
    assert 12 == loop.agent.optimizer.steps
