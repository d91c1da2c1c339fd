"""Rates that a loop writes by hand, schedulers in unusual places, and resumed runs."""

import copy
import gc

import pytest
import torch
from torch.optim import lr_scheduler

from dux_agent import attach
from dux_agent.live.swap import swap
from tests import models
from tests.executions import both
from tests.loops.test_schedules import CLOSE, Loop, follows, is_the_twins
from tests.schedulers_table import TORCH, plainly, two_groups
from tests.swapping import ADAM, MOMENTUM, SGD, live_over
from tests.talking import run, scripted


def by_hand(function):
    """A loop that computes its rates and writes them, before or after a step."""

    def write(optimizer, at):
        for group, base in zip(optimizer.param_groups, (0.1, 0.02), strict=True):
            group["lr"] = base * function(at)

    return write


BY_HAND = {
    "cosine": lambda at: 0.5 + 0.4 * torch.tensor(at / 7.0).cos().item(),
    "warm-up": lambda at: (1 + at) / 30,
    "constant": lambda at: 1.0,
    "steps": lambda at: 0.3 ** (at // 6),
}


class ByHand(Loop):
    """Writes its rates before every step, with no scheduler about."""

    def __init__(self, optimizer, model, function):
        super().__init__(optimizer, model, lambda *_: None, None)
        self._write = by_hand(function)

    def run(self, steps):
        found = []
        for _ in range(steps):
            self._write(self.optimizer, self.at)
            self.optimizer.zero_grad()
            models.objective(self.model, models.batches()[self.at % 3]).backward()
            self.optimizer.step()
            found.append(self.rates())
            self.at += 1
        return found


@pytest.mark.parametrize("name", list(BY_HAND))
def test_rates_that_a_loop_writes_at_every_step_are_a_schedule(name):
    model, other = models.make("mlp"), models.make("mlp")
    live = ByHand(live_over(model, two_groups(model)), model, BY_HAND[name])
    twin = ByHand(two_groups(other), other, BY_HAND[name])
    live.run(8), twin.run(8)

    swap(live.optimizer, ADAM)
    start = list(zip(live.rates(), twin.rates(), strict=True))
    found, expected = live.run(10), twin.run(10)
    live.optimizer.guard.breach("for the test")

    follows(found, expected, start)
    assert twin.rates() == live.rates()
    assert twin.run(5) == live.run(5)


@pytest.mark.parametrize("known", [True, False])
def test_a_loop_that_multiplies_its_rates_by_hand_is_a_schedule_too(known):
    def decay(optimizer):
        for group in optimizer.param_groups:
            group["lr"] *= 0.97

    def run(optimizer, model, steps, decaying):
        found = []
        for at in range(steps):
            optimizer.zero_grad()
            models.objective(model, models.batches()[at % 3]).backward()
            optimizer.step()
            if decaying:
                decay(optimizer)
            found.append([group["lr"] for group in optimizer.param_groups])
        return found

    model, other = models.make("mlp"), models.make("mlp")
    live, plain = live_over(model, two_groups(model)), two_groups(other)
    run(live, model, 4, known), run(plain, other, 4, known)

    swap(live, ADAM)
    start = [
        (mine["lr"], own["lr"])
        for mine, own in zip(live.param_groups, plain.param_groups, strict=True)
    ]
    found, expected = run(live, model, 8, True), run(plain, other, 8, True)
    live.guard.breach("for the test")
    back = [group["lr"] for group in live.param_groups]

    for rates, wanted in zip(found[2:], expected[2:], strict=True):
        for rate, own, (rule, before) in zip(rates, wanted, start, strict=True):
            assert rate == pytest.approx(rule * own / before)
    # The last of them was not followed by a step that tells it from a wish.
    assert back == pytest.approx(expected[-1], rel=0.031)
    on = [first for first, _ in run(live, model, 3, True)]
    assert on == pytest.approx([back[0] * 0.97**at for at in (1, 2, 3)])


def test_the_groups_show_the_live_rate_where_a_loop_writes_its_own():
    model = models.make("mlp")
    live = ByHand(live_over(model, two_groups(model)), model, BY_HAND["cosine"])
    live.run(6)
    swap(live.optimizer, ADAM)
    live.run(2)

    by_hand(BY_HAND["cosine"])(live.optimizer, 8)
    shown = live.rates()[0]

    expected = 0.01 * BY_HAND["cosine"](8) / BY_HAND["cosine"](5)
    assert shown == pytest.approx(expected)


@pytest.mark.parametrize("rate", [0.123, 0.05, 0.0001, 0.0])
@pytest.mark.parametrize("scheduled", [False, True])
def test_one_rate_written_by_hand_is_a_wish(rate, scheduled):
    model = models.make("mlp")
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.02))
    scheduler = lr_scheduler.ExponentialLR(live, 0.9) if scheduled else None
    loop = Loop(live, model, (lambda s, at: s and s.step()), scheduler)
    loop.run(3)
    swap(live, ADAM)
    loop.run(3)

    live.param_groups[0]["lr"] = rate
    found = [row[0] for row in loop.run(3)]
    live.guard.breach("for the test")

    factor = 0.9 if scheduled else 1.0
    assert pytest.approx([rate * factor**at for at in range(4)]) == found
    assert 0.02 * factor**9 == pytest.approx(live.param_groups[0]["lr"], rel=CLOSE)


def test_a_wish_for_the_base_optimizer_is_what_comes_back():
    model = models.make("mlp")
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.02))
    loop = Loop(live, model, lambda *_: None, None)
    loop.run(2)
    live.param_groups[0]["lr"] = 0.07
    loop.run(2)

    swap(live, ADAM)
    loop.run(2)
    live.guard.breach("for the test")

    assert [0.07] == loop.rates()


def test_a_constant_schedule_never_multiplies_the_incumbents_rate():
    # As every schedule of transformers LambdaLR writes its rate at every step.
    model = models.make("mlp")
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.1))
    scheduler = lr_scheduler.LambdaLR(live, lambda step: 1.0)
    loop = Loop(live, model, plainly, scheduler)
    loop.run(2)
    rates = []
    for source in (ADAM, SGD.replace("lr=0.1", "lr=1e-4")):
        swap(live, source)
        rates += loop.run(2)
    for _ in range(2):
        live.guard.breach("for the test")
        rates += loop.run(2)

    assert [0.01] * 3 + [1e-4] * 3 + [0.01] * 3 + [0.1] * 3 == [r for (r,) in rates]


def test_a_warm_up_from_zero_reaches_the_rules_rate_where_the_schedule_is_whole():
    model, other = models.make("mlp"), models.make("mlp")
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.1))
    make = TORCH["LambdaLR, from zero"][0]
    loop = Loop(live, model, plainly, make(live))

    swap(live, ADAM)
    found = [rate for (rate,) in loop.run(12)]
    live.guard.breach("for the test")

    assert pytest.approx([0.001 * at for at in range(13)]) == found
    twin = torch.optim.SGD(other.parameters(), lr=0.1)
    assert Loop(twin, other, plainly, make(twin)).run(12)[-1] == loop.rates()


@pytest.mark.parametrize("first", ["scheduler", "optimizer"])
def test_it_does_not_matter_which_steps_first(first):
    model = models.make("mlp")
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.1))
    scheduler = lr_scheduler.StepLR(live, 2, 0.5)
    seen = []
    for at in range(9):
        if at == 3:
            swap(live, ADAM)
        if first == "scheduler" and at:
            scheduler.step()
        live.zero_grad()
        models.objective(model, models.batches()[at % 3]).backward()
        seen.append(live.param_groups[0]["lr"])
        live.step()
        if first == "optimizer":
            scheduler.step()

    # At the swap the own rate is 0.1 * 0.5 where the scheduler has stepped already.
    expected = {
        "scheduler": [0.1, 0.1, 0.05, 0.01, 0.005, 0.005, 0.0025, 0.0025, 0.00125],
        "optimizer": [0.1, 0.1, 0.05, 0.01, 0.005, 0.005, 0.0025, 0.0025, 0.00125],
    }
    assert pytest.approx(expected[first]) == seen


MADE_LATE = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
    "LambdaLR, constant first": lambda o: lr_scheduler.LambdaLR(
        o, lambda step: 1.0 if step < 3 else 0.5
    ),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 20),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.2, 1.0, 4),
}


@pytest.mark.parametrize("where", ["live", "base"])
@pytest.mark.parametrize("name", list(MADE_LATE))
def test_a_scheduler_made_while_a_rule_is_live_goes_on_from_its_rate(name, where):
    model, other = models.make("mlp"), models.make("mlp")
    base = two_groups(model)
    live, plain = live_over(model, base), two_groups(other)
    loop = Loop(live, model, plainly, None)
    twin = Loop(plain, other, plainly, None)
    loop._step = twin._step = lambda *_: None
    loop.run(2), twin.run(2)
    swap(live, ADAM)
    start = list(zip(loop.rates(), twin.rates(), strict=True))
    loop.run(2), twin.run(2)

    loop.scheduler = MADE_LATE[name](live if where == "live" else base)
    twin.scheduler = MADE_LATE[name](plain)
    loop._step = twin._step = plainly
    follows(loop.run(6)[1:], twin.run(6)[1:], start)
    live.guard.breach("for the test")
    found, expected = loop.run(6), twin.run(6)

    for rates, wanted in zip(found, expected, strict=True):
        assert pytest.approx(wanted, rel=CLOSE) == rates


class Unfollowed(lr_scheduler.LRScheduler):
    """A user's scheduler of which no copy can be made."""

    def __deepcopy__(self, memo):
        raise RuntimeError("no copies")


class Overwriting(Unfollowed):
    def get_lr(self):
        return [base * 0.9**self.last_epoch for base in self.base_lrs]


class Multiplying(Unfollowed):
    def get_lr(self):
        if self._is_initial:
            return [group["lr"] for group in self.optimizer.param_groups]
        return [group["lr"] * 0.9 for group in self.optimizer.param_groups]


class WithoutRates(lr_scheduler.LRScheduler):
    """Of the old style: `step` is its own, and it keeps no last rates."""

    def step(self, epoch=None):
        self.last_epoch += 1
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base * 0.9**self.last_epoch


@pytest.mark.parametrize("kind", [Overwriting, Multiplying, WithoutRates])
def test_a_scheduler_that_cannot_be_copied_is_judged_by_what_it_writes(kind):
    model, other = models.make("mlp"), models.make("mlp")
    base, plain = two_groups(model), two_groups(other)
    live = live_over(model, base)
    loop = Loop(live, model, plainly, kind(live))
    twin = Loop(plain, other, plainly, kind(plain))
    loop.run(3), twin.run(3)

    swap(live, ADAM)
    start = list(zip(loop.rates(), twin.rates(), strict=True))
    follows(loop.run(6)[:-1], twin.run(6)[:-1], start)
    live.guard.breach("for the test")

    for rates, wanted in zip(loop.run(4)[:-1], twin.run(4)[:-1], strict=True):
        assert pytest.approx(wanted, rel=CLOSE) == rates


def test_two_schedulers_at_once_are_both_followed():
    def make(optimizer):
        return (
            lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 6),
            lr_scheduler.StepLR(optimizer, 3, 0.5),
        )

    def both(schedulers, at):
        for each in schedulers:
            each.step()

    model, other = models.make("mlp"), models.make("mlp")
    live, plain = live_over(model, two_groups(model)), two_groups(other)
    loop = Loop(live, model, both, make(live))
    twin = Loop(plain, other, both, make(plain))
    loop.run(2), twin.run(2)

    swap(live, ADAM)
    start = list(zip(loop.rates(), twin.rates(), strict=True))
    follows(loop.run(7), twin.run(7), start)
    live.guard.breach("for the test")

    assert pytest.approx(twin.rates(), rel=CLOSE) == loop.rates()


def tensors(model):
    """Two groups whose rates are tensors, as a compiled step wants them."""
    first, *others = model.parameters()
    rates = torch.tensor(0.1), torch.tensor(0.02)
    return torch.optim.Adam(
        [{"params": [first], "lr": rates[0]}, {"params": others, "lr": rates[1]}],
        foreach=False,
    )


@pytest.mark.parametrize("rates", [tensors, two_groups])
@pytest.mark.parametrize("name", list(TORCH))
def test_who_asks_what_a_schedule_will_set_changes_nothing_of_it(name, rates):
    make, step = TORCH[name]
    loops = []
    for _ in range(2):
        model = models.make("mlp")
        live = live_over(model, rates(model))
        loops.append(Loop(live, model, step, make(live)))
    asked, other = loops
    asked.run(3), other.run(3)
    asked.optimizer.schedule.foretell(4, 3)
    swap(asked.optimizer, ADAM), swap(other.optimizer, ADAM)
    asked.optimizer.schedule.foretell(4, 3)
    asked.run(3), other.run(3)
    asked.optimizer.schedule.foretell(4, 6)

    assert asked.rates() == other.rates()
    assert asked.run(4) == other.run(4)


@pytest.mark.parametrize("name", ["StepLR", "LambdaLR", "ChainedScheduler"])
def test_a_tensor_rate_stays_the_very_tensor(name):
    model, other = models.make("mlp"), models.make("mlp")
    base, plain = tensors(model), tensors(other)
    held = [group["lr"] for group in base.param_groups]
    live = live_over(model, base)
    make, step = TORCH[name]
    loop = Loop(live, model, step, make(live))
    twin = Loop(plain, other, step, make(plain))
    loop.run(3), twin.run(3)

    swap(live, ADAM)
    start = list(zip(loop.rates(), twin.rates(), strict=True))
    follows(loop.run(6), twin.run(6), start)
    live.guard.breach("for the test")
    is_the_twins(loop, twin)
    loop.run(4), twin.run(4)

    assert all(
        group["lr"] is lr for group, lr in zip(base.param_groups, held, strict=True)
    )
    is_the_twins(loop, twin)


@pytest.mark.parametrize("name", list(TORCH))
@pytest.mark.parametrize("order", ["optimizer", "scheduler"])
def test_a_resumed_training_runs_at_the_same_rates_to_the_last_bit(name, order):
    make, step = TORCH[name]

    def begin():
        model = models.make("mlp")
        live = live_over(model, two_groups(model))
        return Loop(live, model, step, make(live))

    loop = begin()
    loop.run(4)
    swap(loop.optimizer, ADAM)
    loop.run(5)
    saved = copy.deepcopy(
        (
            loop.model.state_dict(),
            loop.optimizer.state_dict(),
            {k: v for k, v in loop.scheduler.state_dict().items() if not callable(v)},
        )
    )
    expected = loop.run(5)
    loop.optimizer.guard.breach("for the test")
    expected += loop.run(5)

    again = begin()
    again.model.load_state_dict(saved[0])
    loads = [
        lambda: again.optimizer.load_state_dict(saved[1]),
        lambda: again.scheduler.load_state_dict(saved[2]),
    ]
    for load in loads if order == "optimizer" else reversed(loads):
        load()
    again.at = 9
    found = again.run(5)
    again.optimizer.guard.breach("for the test")
    found += again.run(5)

    assert expected == found


def test_a_rule_that_writes_its_own_rate_keeps_it_under_a_schedule():
    halving = SGD.replace(
        "        for group in self.param_groups:\n",
        "        for group in self.param_groups:\n"
        '            group["lr"] = group["lr"] * 0.5\n',
    )
    model, other = models.make("mlp"), models.make("mlp")
    live, plain = live_over(model, two_groups(model)), two_groups(other)
    loop = Loop(live, model, plainly, TORCH["LambdaLR"][0](live))
    twin = Loop(plain, other, plainly, TORCH["LambdaLR"][0](plain))
    loop.run(3), twin.run(3)

    swap(live, halving)
    found = [first for first, _ in loop.run(3)]
    twin.run(3)
    live.guard.breach("for the test")

    assert pytest.approx([0.1 * (0.5 * 0.95) ** at for at in range(4)]) == found
    is_the_twins(loop, twin)


def test_a_schedulers_object_is_never_written_to():
    model = models.make("mlp")
    live = live_over(model, two_groups(model))
    scheduler = TORCH["SequentialLR"][0](live)
    names = [set(vars(each)) for each in (scheduler, *scheduler._schedulers)]
    loop = Loop(live, model, plainly, scheduler)
    loop.run(2)
    swap(live, ADAM)
    loop.run(2)
    before = repr(scheduler.state_dict())
    swap(live, MOMENTUM)
    live.guard.breach("for the test")
    live.schedule.prepare()
    live.zero_grad()

    assert before == repr(scheduler.state_dict())
    assert names == [set(vars(each)) for each in (scheduler, *scheduler._schedulers)]


def test_schedulers_are_not_kept_alive():
    model = models.make("mlp")
    live = live_over(model, two_groups(model))
    loop = Loop(live, model, plainly, TORCH["StepLR"][0](live))
    loop.run(2)
    swap(live, ADAM)
    assert 1 == len(live.schedule.schedulers)

    del loop
    gc.collect()

    assert [] == live.schedule.schedulers


@both
def test_one_tensor_for_two_groups_is_shared_by_the_base_optimizer_and_by_no_rule(
    execution,
):
    def shared(model):
        first, *others = model.parameters()
        rate = torch.tensor(0.08)
        groups = [{"params": [first]}, {"params": others}]
        return torch.optim.SGD(groups, lr=rate), rate

    def halve(optimizer):
        for group in optimizer.param_groups:
            group["lr"] *= 0.5
        return [float(group["lr"]) for group in optimizer.param_groups]

    model = models.make("mlp")
    base, rate = shared(model)
    options = {"lm": scripted(MOMENTUM), "execution": execution, "accept": "finite"}
    with attach(model, base, models.objective, dry_run_steps=1, **options) as agent:
        run(agent, 3)
        before = halve(agent.optimizer)
        run(agent, 3)
        assert "applied" == agent.decide().verdict
        run(agent, 3)
        under_a_rule = halve(agent.optimizer)
        run(agent, 1)
        kept = [float(group["lr"]) for group in agent.optimizer.param_groups]
        agent.optimizer.guard.breach("for the test")
        back = [group["lr"] for group in agent.optimizer.param_groups]

    assert halve(shared(models.make("mlp"))[0]) == before  # a quarter: torch's own
    assert [0.025, 0.025] == under_a_rule == kept  # of MOMENTUM's 0.05
    assert all(each is rate for each in back)
    assert before == [float(rate)] * 2
