"""The live optimizer keeps working with everything that holds on to an optimizer."""

import copy

import pytest
import torch
from torch.optim import lr_scheduler

from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.swap import swap
from tests import models
from tests.swapping import ADAM, MOMENTUM, SGD, after, live_over, train

SCHEDULERS = {
    "step": lambda o: lr_scheduler.StepLR(o, 4, 0.5),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 40),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.05, total_steps=60),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.97**step),
    "cyclic": lambda o: lr_scheduler.CyclicLR(o, 0.001, 0.05, step_size_up=5),
    "sequential": lambda o: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.LinearLR(o, 0.1, 1.0, 6), lr_scheduler.CosineAnnealingLR(o, 30)],
        [6],
    ),
}


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, **options)


@pytest.mark.parametrize("kind", list(models.KINDS))
def test_a_live_optimizer_trains_as_the_optimizer_it_was_made_around(kind):
    alone, held = models.make(kind), models.make(kind)
    plain = torch.optim.Adam(alone.parameters(), lr=0.01)
    live = live_over(held, torch.optim.Adam(held.parameters(), lr=0.01))

    torch.manual_seed(5)
    expected = train(plain, alone, 6)
    torch.manual_seed(5)
    found = train(live, held, 6)

    assert expected == found
    assert all(map(torch.equal, alone.parameters(), held.parameters()))


def test_its_groups_are_the_very_dicts_of_the_base_optimizer():
    model = models.make("mlp")
    base = sgd(model)

    live = live_over(model, base)
    swap(live, ADAM)

    assert live.param_groups is base.param_groups
    assert live.param_groups[0] is base.param_groups[0]
    assert isinstance(live, torch.optim.Optimizer)


@pytest.mark.parametrize("where", ["live", "base"])
@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_a_scheduler_keeps_working_across_a_swap_and_a_rollback(name, where):
    model = models.make("mlp")
    base = sgd(model)
    before = SCHEDULERS[name](base) if where == "base" else None
    live = live_over(model, base)
    scheduler = before or SCHEDULERS[name](live)
    train(live, model, 8, scheduler=scheduler)
    at_swap = live.param_groups[0]["lr"]

    swap(live, ADAM)
    proposed = live.param_groups[0]["lr"]
    rates = []
    train(
        live,
        model,
        10,
        scheduler=scheduler,
        each=lambda _: rates.append(live.param_groups[0]["lr"]),
    )
    live.guard.breach("for the test")
    train(live, model, 10, scheduler=scheduler)

    assert proposed == 0.01
    assert at_swap != proposed
    assert len(set(rates)) > 1
    assert live.running is live.base_rule
    assert set(live.param_groups[0]) >= {"momentum", "nesterov", "initial_lr"}
    assert "eps" not in live.param_groups[0]


def test_a_plateau_scheduler_lowers_the_rate_of_the_rule_that_is_live():
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    scheduler = lr_scheduler.ReduceLROnPlateau(live, factor=0.5, patience=1)
    train(live, model, 3)
    scheduler.step(1.0)

    swap(live, ADAM)
    for _ in range(4):
        train(live, model, 2)
        scheduler.step(1.0)

    assert live.param_groups[0]["lr"] == pytest.approx(0.01 / 4)


def test_a_multiplying_scheduler_goes_on_from_the_proposals_rate():
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    scheduler = lr_scheduler.ExponentialLR(live, 0.9)
    train(live, model, 3, scheduler=scheduler)

    swap(live, ADAM)
    train(live, model, 2, scheduler=scheduler)

    assert live.param_groups[0]["lr"] == pytest.approx(0.01 * 0.9**2)


def test_the_schedulers_rate_stays_where_it_owns_the_rate():
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    scheduler = lr_scheduler.ExponentialLR(live, 0.9)
    train(live, model, 3, scheduler=scheduler)

    swap(live, ADAM, lr_owner="scheduler")

    assert live.param_groups[0]["lr"] == pytest.approx(0.02 * 0.9**3)
    assert live.param_groups[0]["betas"] == (0.9, 0.99)


def test_the_incumbent_gets_back_the_rate_its_scheduler_would_have_made():
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    scheduler = lr_scheduler.ExponentialLR(live, 0.9)
    train(live, model, 3, scheduler=scheduler)
    swap(live, ADAM)
    train(live, model, 5, scheduler=scheduler)

    live.guard.breach("for the test")

    assert live.param_groups[0]["lr"] == pytest.approx(0.02 * 0.9**8)


def test_the_incumbent_gets_its_rate_back_exactly_where_nobody_schedules_it():
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    before = dict(live.param_groups[0])
    swap(live, ADAM)
    live.param_groups[0]["lr"] = 0.123

    live.guard.breach("for the test")

    assert live.param_groups[0] == before


@pytest.mark.parametrize("fused", [False, True])
def test_a_grad_scaler_works_across_a_swap(fused):
    model = models.make("mlp")
    twin = copy.deepcopy(model)
    options = {"fused": True} if fused else {"foreach": False}
    live = live_over(model, torch.optim.Adam(model.parameters(), lr=0.01, **options))
    plain = torch.optim.Adam(twin.parameters(), lr=0.01, **options)
    scalers = [torch.amp.GradScaler("cpu", init_scale=1024.0) for _ in range(2)]

    def steps(count):
        for step in range(count):
            batch = models.batches()[step % 3]
            for each, optimizer, scaler in zip(
                (model, twin), (live, plain), scalers, strict=True
            ):
                optimizer.zero_grad()
                scaler.scale(models.objective(each, batch)).backward()
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(each.parameters(), 5.0)
                scaler.step(optimizer)
                scaler.update()

    steps(4)
    same_on_the_base = all(map(torch.equal, model.parameters(), twin.parameters()))
    swap(live, ADAM)
    supports = live._step_supports_amp_scaling
    for group in plain.param_groups:
        group["betas"] = (0.9, 0.99)
    plain.state.clear()
    steps(6)

    assert same_on_the_base
    assert supports is False
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_a_fused_base_optimizer_gets_the_scale_that_was_left_for_it():
    model = models.make("mlp")
    twin = copy.deepcopy(model)
    live = live_over(model, torch.optim.Adam(model.parameters(), lr=0.01, fused=True))
    plain = torch.optim.Adam(twin.parameters(), lr=0.01, fused=True)

    for each, optimizer in ((model, live), (twin, plain)):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for batch in models.batches():
            optimizer.zero_grad()
            scaler.scale(models.objective(each, batch)).backward()
            scaler.step(optimizer)
            scaler.update()

    assert live._step_supports_amp_scaling is True
    assert all(map(torch.equal, model.parameters(), twin.parameters()))
    assert not hasattr(live.base, "grad_scale")


def test_clipping_the_gradients_works_across_a_swap():
    model = models.make("mlp")
    live = live_over(model, sgd(model))

    for step in range(8):
        if step == 4:
            swap(live, SGD)
        live.zero_grad()
        models.objective(model, models.batches()[0]).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        before = [p.detach().clone() for p in model.parameters()]
        live.step()
        if step >= 4:
            moved = sum(
                float((p - q).detach().square().sum())
                for p, q in zip(model.parameters(), before, strict=True)
            )
            assert moved**0.5 == pytest.approx(0.1 * min(0.1, float(norm)), rel=1e-3)


def test_a_compiled_model_trains_on_across_a_swap():
    model = models.make("mlp")
    compiled = torch.compile(model, backend="eager")
    live = live_over(compiled, sgd(model))
    before = train(live, compiled, 5)

    swap(live, ADAM)
    after_swap = train(live, compiled, 40)

    assert after_swap < before
    assert live.running.source == ADAM


def test_step_hooks_and_the_profiler_see_every_step_across_a_swap():
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    seen = []
    live.register_step_pre_hook(lambda optimizer, a, k: seen.append("before"))
    live.register_step_post_hook(lambda optimizer, a, k: seen.append("after"))

    with torch.profiler.profile() as profile:
        train(live, model, 2)
        swap(live, MOMENTUM)
        train(live, model, 2)

    assert ["before", "after"] * 4 == seen
    names = [event.key for event in profile.key_averages()]
    assert "Optimizer.step#DuxOptimizer.step" in names
    assert "Optimizer.zero_grad#SGD.zero_grad" in names


@pytest.mark.parametrize("where", ["class", "object"])
def test_a_base_that_forgets_gradients_in_its_own_way_does_so(where):
    class Own(torch.optim.SGD):
        def zero_grad(self, set_to_none=True):
            asked.append(set_to_none)

    asked = []
    weight = torch.nn.Parameter(torch.ones(1))
    base = (Own if where == "class" else torch.optim.SGD)([weight], lr=0.1)
    if where == "object":
        base.zero_grad = lambda set_to_none=True: asked.append(set_to_none)
    live = DuxOptimizer(base)
    weight.grad = torch.ones(1)

    live.zero_grad()
    live.zero_grad(set_to_none=False)

    assert [True, False] == asked
    assert weight.grad is not None


def test_gradients_of_all_groups_are_forgotten_or_set_to_zero():
    first, other = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    live = DuxOptimizer(torch.optim.SGD([first], lr=0.1))
    live.add_param_group({"params": [other]})

    for each in (first, other):
        each.grad = torch.ones(1)
    live.zero_grad(set_to_none=False)
    zeroed = [float(each.grad) for each in (first, other)]
    live.zero_grad()

    assert [0.0, 0.0] == zeroed
    assert [None, None] == [first.grad, other.grad]


def test_a_closure_is_called_and_its_loss_returned_by_base_and_rule():
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    batch = models.batches()[0]

    def closure():
        live.zero_grad()
        loss = models.objective(model, batch)
        loss.backward()
        return loss

    first = live.step(closure)
    swap(live, MOMENTUM)
    second = live.step(closure)

    assert second.detach() < first.detach()


@pytest.mark.parametrize("swapped", [False, True])
def test_an_error_of_the_callers_closure_comes_out_and_training_goes_on(swapped):
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    if swapped:
        swap(live, MOMENTUM)
    rule = live.running

    def broken():
        raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        live.step(broken)

    before = [p.detach().clone() for p in model.parameters()]
    train(live, model, 2)
    assert live.running is rule
    assert not torch.equal(before[0], next(model.parameters()))


def test_an_error_that_a_rule_swallowed_comes_out_all_the_same():
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    deaf = SGD.replace(
        "                loss = closure()",
        "                try:\n"
        "                    loss = closure()\n"
        "                except Exception:\n"
        "                    loss = None",
    )
    swap(live, deaf)

    def broken():
        raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        live.step(broken)


def test_a_group_added_in_mid_training_is_trained_by_base_and_rule():
    for source in (None, MOMENTUM):
        model = models.make("mlp")
        first, second = list(model[0].parameters()), list(model[2].parameters())
        live = live_over(model, torch.optim.SGD(first, lr=0.02, momentum=0.9))
        if source is not None:
            swap(live, source)
        train(live, model, 3)
        before = second[0].detach().clone()

        live.add_param_group({"params": second, "lr": 0.001})
        train(live, model, 3)

        assert 2 == len(live.param_groups) == len(live.base.param_groups)
        assert 0.001 == live.param_groups[1]["lr"]
        assert not torch.equal(before, second[0])
        if source is not None:
            assert "momentum" not in live.param_groups[1]
            assert {"m"} == set(live.state[second[0]])
        live.guard.breach("for the test")
        assert 0.9 == live.param_groups[1]["momentum"]
        train(live, model, 2)


def test_its_state_is_that_of_the_rule_which_is_live():
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    train(live, model, 1)
    parameter = next(model.parameters())

    base_names = set(live.state[parameter])
    swap(live, ADAM)
    train(live, model, 1)

    assert {"momentum_buffer"} == base_names
    assert {"step", "exp_avg", "exp_avg_sq"} == set(live.state[parameter])
    assert live.defaults["betas"] == (0.9, 0.99)


def test_options_that_a_rule_writes_into_a_group_go_with_it():
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    counting = SGD.replace(
        "        for group in self.param_groups:\n",
        "        for group in self.param_groups:\n"
        '            group["calls"] = group.get("calls", 0) + 1\n',
    )
    swap(live, counting)
    train(live, model, 3)
    calls = live.param_groups[0]["calls"]
    live.param_groups[0]["label"] = "the loop's own"

    swap(live, ADAM)

    assert 3 == calls
    assert "calls" not in live.param_groups[0]
    assert "the loop's own" == live.param_groups[0]["label"]


def test_a_rule_that_is_harmed_late_still_leaves_the_hooks_of_schedulers_alone():
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    scheduler = lr_scheduler.StepLR(live, 5, 0.5)
    swap(live, after(6, 'p.fill_(float("nan"))'))

    train(live, model, 20, scheduler=scheduler)

    assert live.running is live.base_rule
    assert live.param_groups[0]["lr"] == pytest.approx(0.02 * 0.5**4)
    assert isinstance(live, DuxOptimizer)


def test_an_interrupt_that_ends_a_step_leaves_gradients_on():
    class Interrupted(torch.optim.SGD):
        def step(self, closure=None):
            torch.set_grad_enabled(False)  # as where it meets torch's own no_grad
            raise KeyboardInterrupt

    model = models.make("mlp")
    live = live_over(model, Interrupted(model.parameters(), lr=0.02))

    with pytest.raises(KeyboardInterrupt):
        live.step()

    assert torch.is_grad_enabled()
