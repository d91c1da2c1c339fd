"""Without a language model the guard takes a run of the base optimizer back."""

import copy

import pytest
import torch
from torch.optim import lr_scheduler

from dux_agent import attach
from dux_agent.errors import BadArgument, TrainingDiverged
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.run_guard import RunGuard
from tests import models

NAN = float("nan")


def momentum(model):
    return torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def fused(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)


def lbfgs(model):
    return torch.optim.LBFGS(model.parameters(), lr=0.2, max_iter=3, history_size=5)


class Sam(torch.optim.Optimizer):
    """Holds another optimizer, a count of its own, and values in its groups."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.02, "scale": 1.0})
        self.inner = torch.optim.SGD(self.param_groups, lr=0.02, momentum=0.9)
        self.inner.param_groups = self.param_groups
        for group in self.param_groups:
            group.update(momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False)
            group.update(maximize=False, foreach=None, differentiable=False, fused=None)
        self.count = 0

    def step(self, closure=None):
        self.count += 1
        for group in self.param_groups:
            group["scale"] = group["scale"] * 0.99
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.mul_(group["scale"] + 0.001 * self.count)
        return self.inner.step(closure)


def sam(model):
    return Sam(list(model.parameters()))


BASES = {"SGD": momentum, "AdamW": adamw, "fused": fused, "LBFGS": lbfgs, "SAM": sam}


def spoilt(how):
    """The batch of a step at which something goes wrong."""

    def batch(step):
        inputs, targets = models.batches()[step % 3]
        if how == "NaN":
            return inputs * NAN, targets
        if how == "infinite":
            return inputs, targets + float("inf")
        return inputs, targets + 1e4  # a finite spike

    return batch


def batch_of(step, bad=()):
    for where, batch in bad:
        if step == where:
            return batch(step)
    return models.batches()[step % 3]


def one_step(live, model, batch, uses_closure):
    """A step of any optimizer; its loss."""

    def closure():
        live.zero_grad()
        loss = models.objective(model, batch)
        loss.backward()
        return loss

    if uses_closure:
        return live.step(closure)
    loss = closure()
    live.step()
    return loss


def guarded(
    model, base, steps, *, bad=(), first=0, scheduler=None, agent=None, **options
):
    """Train under a guard without a language model; the agent and its losses."""
    if agent is None:
        agent = attach(model, base, models.objective, lm=None, **options)
    losses = []
    for step in range(first, first + steps):
        batch = batch_of(step, bad)
        closure = isinstance(base, torch.optim.LBFGS)
        loss = one_step(agent.optimizer, model, batch, closure)
        agent.observe(loss, batch)
        if scheduler is not None:
            scheduler.step()
        losses.append(float(loss.detach()))
    return agent, losses


def plain(model, base, steps, *, bad=(), first=0, scheduler=None):
    for step in range(first, first + steps):
        closure = isinstance(base, torch.optim.LBFGS)
        one_step(base, model, batch_of(step, bad), closure)
        if scheduler is not None:
            scheduler.step()


def everything(model, base):
    """Weights, buffers and the optimizer's state."""
    return [
        *(value.detach().clone() for value in model.parameters()),
        *(value.detach().clone() for value in model.buffers()),
        *(
            value.detach().clone()
            for p in model.parameters()
            for value in base.state.get(p, {}).values()
            if isinstance(value, torch.Tensor)
        ),
    ]


def same(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize("kind", list(models.KINDS))
@pytest.mark.parametrize("base", list(BASES))
def test_nothing_changes_where_nothing_goes_wrong(kind, base):
    model, twin = models.make(kind), models.make(kind)
    optimizer, other = BASES[base](model), BASES[base](twin)
    torch.manual_seed(1)
    agent, _ = guarded(model, optimizer, 30)
    random = torch.get_rng_state()
    torch.manual_seed(1)
    plain(twin, other, 30)

    assert 0 == agent.rollbacks
    assert same(everything(model, optimizer), everything(twin, other))
    assert torch.equal(random, torch.get_rng_state())
    agent.close()


# A line search over old weight norm, a batch at a time, diverges by itself.
RECOVERING = [
    (kind, base)
    for kind in ("mlp", "batch norm", "dropout", "old weight norm")
    for base in BASES
    if (kind, base) != ("old weight norm", "LBFGS")
]


@pytest.mark.parametrize("kind, base", RECOVERING)
@pytest.mark.parametrize("how", ["NaN", "infinite", "spike"])
def test_harm_is_undone_and_the_next_batches_follow_at_half_the_rate(kind, base, how):
    model, twin = models.make(kind), models.make(kind)
    optimizer, other = BASES[base](model), BASES[base](twin)
    torch.manual_seed(1)
    agent, losses = guarded(model, optimizer, 60, bad=[(20, spoilt(how))])
    random = torch.get_rng_state()

    # The twin does by hand what the guard is to do.
    torch.manual_seed(1)
    weights = copy.deepcopy(twin.state_dict())
    plain(twin, other, 21, bad=[(20, spoilt(how))])
    twin.load_state_dict(weights)
    fresh = BASES[base](twin)
    for group in fresh.param_groups:
        group["lr"] *= 0.5
    plain(twin, fresh, 39, first=21)

    assert 1 == agent.rollbacks
    assert same(everything(model, optimizer), everything(twin, fresh))
    assert torch.equal(random, torch.get_rng_state())
    assert losses[57] < losses[0]  # the same batch
    agent.close()


@pytest.mark.parametrize("base", list(BASES))
def test_a_gradient_that_is_not_finite_is_undone_at_its_own_step(base):
    model = models.make("mlp")
    optimizer = BASES[base](model)
    agent, _ = guarded(model, optimizer, 5)
    hook = model[0].weight.register_hook(lambda gradient: gradient * NAN)

    guarded(model, optimizer, 1, first=5, agent=agent)
    hook.remove()
    guarded(model, optimizer, 20, first=6, agent=agent)

    assert 1 == agent.rollbacks
    assert all(bool(value.isfinite().all()) for value in model.parameters())
    agent.close()


@pytest.mark.parametrize("base", ["SGD", "AdamW", "SAM"])
def test_the_snapshot_is_renewed_and_puts_the_optimizer_back_too(base):
    model = models.make("mlp")
    optimizer = BASES[base](model)
    agent, _ = guarded(model, optimizer, 130)
    expected = everything(model, optimizer)
    inner = getattr(optimizer, "inner", optimizer)
    buffers = copy.deepcopy([inner.state[p] for p in model.parameters()])
    group = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
    own = getattr(optimizer, "count", None)

    guarded(model, optimizer, 31, first=130, agent=agent, bad=[(160, spoilt("NaN"))])

    assert 1 == agent.rollbacks
    assert same(expected, everything(model, optimizer))
    for kept, now in zip(
        buffers, map(inner.state.get, model.parameters()), strict=True
    ):
        assert kept.keys() == now.keys()
        assert all(
            torch.equal(torch.as_tensor(kept[k]), torch.as_tensor(now[k])) for k in kept
        )
    assert own == getattr(optimizer, "count", None)
    after = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
    assert group | {"lr": group["lr"] / 2} == after
    agent.close()


def test_a_spike_that_begins_before_a_new_snapshot_counts_takes_the_old_one():
    model = models.make("mlp")
    agent, _ = guarded(model, momentum(model), 130)

    # The snapshot of step 130 holds weights that the batch of step 129 has spoilt.
    guarded(model, None, 6, first=130, agent=agent, bad=[(130, spoilt("NaN"))])

    assert 1 == agent.rollbacks
    assert all(bool(value.isfinite().all()) for value in model.parameters())
    _, losses = guarded(model, None, 30, first=136, agent=agent)
    assert losses[-1] < 1
    agent.close()


def test_buffers_and_state_that_are_not_finite_make_no_new_snapshot():
    for spoil in ("buffer", "state"):
        model = models.make("batch norm")
        optimizer = adamw(model)
        agent, _ = guarded(model, optimizer, 135)
        if spoil == "buffer":
            model.norm.running_mean.fill_(NAN)
            model.norm.eval()  # the loss shows it, at once
        else:
            optimizer.state[model.head.weight]["exp_avg"].fill_(float("inf"))

        guarded(model, optimizer, 40, first=135, agent=agent)

        assert 1 == agent.rollbacks
        assert bool(model.norm.running_mean.isfinite().all())
        assert bool(model.head.weight.isfinite().all())
        agent.close()


def test_a_frozen_moment_that_is_infinite_is_kept_out_of_snapshots():
    model = models.make("mlp")
    optimizer = adamw(model)
    agent, _ = guarded(model, optimizer, 125)
    # A second moment of infinity stops a weight for good and shows in no loss.
    optimizer.state[model[0].weight]["exp_avg_sq"].fill_(float("inf"))
    guarded(model, optimizer, 30, first=125, agent=agent)

    guarded(model, optimizer, 1, first=155, agent=agent, bad=[(155, spoilt("NaN"))])

    assert 1 == agent.rollbacks
    guarded(model, optimizer, 3, first=156, agent=agent)
    assert bool(optimizer.state[model[0].weight]["exp_avg_sq"].isfinite().all())
    agent.close()


def test_after_the_last_rollback_the_next_breach_raises_with_good_weights():
    model = models.make("mlp")
    agent, _ = guarded(model, momentum(model), 10)
    bad = [(step, spoilt("NaN")) for step in (10, 20, 30, 40)]
    guarded(model, None, 30, first=10, agent=agent, bad=bad)
    rate = agent.optimizer.param_groups[0]["lr"]

    with pytest.raises(TrainingDiverged) as raised:
        guarded(model, None, 10, first=40, agent=agent, bad=bad)

    assert 3 == agent.rollbacks
    assert 0.02 / 8 == rate
    said = str(raised.value)
    assert "training diverged again after 3 rollbacks: a parameter was not" in said
    assert "raise max_rollbacks" in said
    assert all(bool(value.isfinite().all()) for value in model.parameters())
    _, losses = guarded(model, None, 10, first=50, agent=agent)
    assert losses[-1] < losses[0]
    agent.close()


def test_no_rollbacks_at_all_may_be_wanted():
    model = models.make("mlp")
    agent, _ = guarded(model, momentum(model), 5, max_rollbacks=0, rollback_lr=1)

    with pytest.raises(TrainingDiverged):
        guarded(model, None, 1, first=5, agent=agent, bad=[(5, spoilt("NaN"))])

    agent.close()


SCHEDULERS = {
    "none": lambda o: None,
    "step": lambda o: lr_scheduler.StepLR(o, 7, 0.5),
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.97),
    "constant": lambda o: lr_scheduler.LambdaLR(o, lambda step: 1.0),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    "multiplicative": lambda o: lr_scheduler.MultiplicativeLR(o, lambda step: 0.95),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 50),
    "restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 9),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.05, total_steps=61),
    "cyclic": lambda o: lr_scheduler.CyclicLR(o, 0.001, 0.02, step_size_up=5),
    "linear": lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, 20),
    "polynomial": lambda o: lr_scheduler.PolynomialLR(o, 60),
    "sequential": lambda o: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.LinearLR(o, 0.1, 1.0, 10), lr_scheduler.CosineAnnealingLR(o, 50)],
        [10],
    ),
}


@pytest.mark.parametrize("name", list(SCHEDULERS))
@pytest.mark.parametrize("base", [momentum, adamw])
@pytest.mark.filterwarnings("ignore:.*epoch parameter.*")
def test_the_rate_is_half_of_what_the_scheduler_sets(name, base):
    model, twin = models.make("mlp"), models.make("mlp")
    seen, expected = [], []
    optimizer, other = telling(base(model), seen), telling(base(twin), expected)
    schedule, beside = SCHEDULERS[name](optimizer), SCHEDULERS[name](other)

    agent, _ = guarded(
        model,
        optimizer,
        60,
        scheduler=schedule,
        bad=[(20, spoilt("NaN")), (40, spoilt("NaN"))],
    )
    plain(twin, other, 60, scheduler=beside)

    factors = [1.0] * 21 + [0.5] * 20 + [0.25] * 19
    wanted = [rate * factor for rate, factor in zip(expected, factors, strict=True)]
    assert pytest.approx(wanted) == seen
    # The groups show it.
    agent.optimizer.zero_grad()
    due = other.param_groups[0]["lr"] / 4
    assert pytest.approx(due) == optimizer.param_groups[0]["lr"]
    agent.close()


def telling(optimizer, seen):
    """The optimizer, with a step that tells the rate that it is taken at."""
    kind = type(optimizer)

    class Telling(kind):
        def step(self, closure=None):
            seen.append(self.param_groups[0]["lr"])
            return super().step(closure)

    optimizer.__class__ = Telling
    return optimizer


BY_HAND = {
    "multiplied": lambda group, step: group.update(lr=group["lr"] * 0.99),
    "written": lambda group, step: group.update(lr=0.02 / (1 + 0.01 * step)),
    "a tenth once": lambda group, step: (
        group.update(lr=group["lr"] * 0.1) if step == 30 else None
    ),
}


@pytest.mark.parametrize("how", list(BY_HAND))
def test_so_it_is_of_what_the_loop_writes_by_hand(how):
    model = models.make("mlp")
    seen, expected, other = [], [], {"lr": 0.02}
    optimizer = telling(momentum(model), seen)
    agent = attach(model, optimizer, models.objective, lm=None)
    for step in range(40):
        for group in (agent.optimizer.param_groups[0], other):
            BY_HAND[how](group, step)
        expected.append(other["lr"])
        batch = batch_of(step, [(20, spoilt("NaN"))])
        agent.optimizer.zero_grad()
        loss = models.objective(model, batch)
        loss.backward()
        agent.optimizer.step()
        agent.observe(loss)

    factors = [1.0] * 21 + [0.5] * 19
    wanted = [rate * factor for rate, factor in zip(expected, factors, strict=True)]
    assert pytest.approx(wanted) == seen
    agent.close()


def test_batches_that_are_drawn_at_random_are_not_drawn_again():
    model = models.make("mlp")
    agent = attach(model, momentum(model), models.objective, lm=None)
    torch.manual_seed(2)
    drawn = []
    for step in range(60):
        inputs = torch.randn(12, 6)
        drawn.append(float(inputs.sum()))
        if step == 30:
            inputs = inputs * NAN
        agent.step((inputs, inputs.sum(1, keepdim=True)))

    assert 1 == agent.rollbacks
    assert 60 == len(set(drawn))
    agent.close()


def test_a_loop_with_a_gradient_scaler_is_guarded():
    model, twin = models.make("mlp"), models.make("mlp")
    optimizer, other = momentum(model), momentum(twin)
    scaler, beside = (torch.amp.GradScaler("cpu", init_scale=2.0**40) for _ in range(2))
    agent = attach(model, optimizer, models.objective, lm=None)
    for step in range(40):
        for net, live, scale in (
            (model, agent.optimizer, scaler),
            (twin, other, beside),
        ):
            live.zero_grad()
            loss = models.objective(net, batch_of(step))
            scale.scale(loss).backward()
            scale.unscale_(live)
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            scale.step(live)
            scale.update()
            if live is agent.optimizer:
                agent.observe(loss)
    assert 0 == agent.rollbacks
    assert same(everything(model, optimizer), everything(twin, other))

    # From here on GradScaler leaves out every step: nothing would ever mend it.
    with torch.no_grad():
        model[0].weight.fill_(NAN)
    agent.optimizer.zero_grad()
    loss = models.objective(model, batch_of(0))
    scaler.scale(loss).backward()
    scaler.step(agent.optimizer)
    scaler.update()
    agent.observe(loss)

    assert 1 == agent.rollbacks
    assert all(bool(value.isfinite().all()) for value in model.parameters())
    agent.close()


def of_told_before_steps(steps=12):
    """A run of which each loss is told before its step, the last step not taken."""
    model = models.make("mlp")
    agent = attach(model, momentum(model), models.objective, lm=None)
    for step in range(steps):
        tell(agent, step)
        agent.optimizer.step()
    return model, agent


def tell(agent, step, factor=1.0):
    agent.optimizer.zero_grad()
    loss = models.objective(agent.model, batch_of(step))
    loss.backward()
    agent.observe(loss.detach() * factor)


def test_a_loss_that_waits_for_its_step_is_held_against_nobody_twice_after_a_load():
    model, agent = of_told_before_steps()
    tell(agent, 12, factor=NAN)
    weights, saved = copy.deepcopy(model.state_dict()), agent.state_dict()
    model, other = of_told_before_steps(1)
    model.load_state_dict(weights)
    other.load_state_dict(saved)

    tell(other, 12)
    other.optimizer.step()
    tell(other, 13)

    assert 1 == agent.rollbacks == other.rollbacks


def test_what_was_told_before_a_load_hides_nothing_after_it():
    model, agent = of_told_before_steps()
    weights, saved = copy.deepcopy(model.state_dict()), agent.state_dict()
    tell(agent, 12, factor=NAN)
    model.load_state_dict(weights)
    agent.load_state_dict(saved)

    agent.optimizer.step()
    agent.observe(NAN)

    assert 1 == agent.rollbacks


@pytest.mark.parametrize("order", ["told before the step", "and clipped"])
@pytest.mark.parametrize("base", ["SGD", "AdamW"])
def test_a_loop_may_tell_of_its_loss_before_it_steps(order, base):
    model, twin = models.make("mlp"), models.make("mlp")
    optimizer, other = BASES[base](model), BASES[base](twin)
    agent = attach(model, optimizer, models.objective, lm=None)
    for step in range(40):
        agent.optimizer.zero_grad()
        loss = models.objective(model, batch_of(step, [(20, spoilt("NaN"))]))
        loss.backward()
        agent.observe(loss)
        if order == "and clipped":
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)
        agent.optimizer.step()
    for group in other.param_groups:
        group["lr"] *= 0.5
    plain(twin, other, 19, first=21)

    # The gradients of what was undone are not stepped on.
    assert 1 == agent.rollbacks
    assert same(everything(model, optimizer), everything(twin, other))
    agent.close()


def test_micro_batches_of_one_step_go_back_once():
    model = models.make("mlp")
    agent = attach(model, momentum(model), models.objective, lm=None)
    for step in range(40):
        agent.optimizer.zero_grad()
        for micro in range(4):
            batch = spoilt("NaN")(micro) if step == 20 else batch_of(micro)
            loss = models.objective(model, batch) / 4
            loss.backward()
            agent.observe(loss, batch, scale=0.25)
        agent.optimizer.step()

    assert 1 == agent.rollbacks
    assert 39 <= agent.step_count <= 40
    agent.close()


def test_a_loop_that_shows_no_losses_is_guarded_too():
    model = models.make("mlp")
    optimizer = momentum(model)
    agent = attach(model, optimizer, models.objective, lm=None)
    for step in range(420):
        one_step(agent.optimizer, model, batch_of(step, [(333, spoilt("NaN"))]), False)

    assert 1 == agent.rollbacks
    assert all(bool(value.isfinite().all()) for value in model.parameters())
    agent.close()


def test_weights_that_are_loaded_after_attach_are_what_there_is_to_go_back_to():
    model, trained = models.make("mlp"), models.make("mlp")
    plain(trained, momentum(trained), 60)
    agent = attach(model, momentum(model), models.objective, lm=None)
    model.load_state_dict(trained.state_dict())

    guarded(model, None, 1, agent=agent, bad=[(0, spoilt("NaN"))])

    assert same([*trained.parameters()], [*model.parameters()])
    agent.close()


def test_a_first_batch_that_is_bad_spoils_no_buffer():
    model = models.make("batch norm")
    agent, losses = guarded(model, momentum(model), 20, bad=[(0, spoilt("NaN"))])

    assert 1 == agent.rollbacks
    assert losses[-1] < losses[1]
    agent.close()


def test_a_group_that_is_added_is_guarded_from_then_on():
    model = models.make("mlp")
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.02, momentum=0.9)
    agent, _ = guarded(model, optimizer, 20)
    agent.optimizer.add_param_group({"params": list(model[2].parameters())})
    guarded(model, optimizer, 20, first=20, agent=agent)

    guarded(model, optimizer, 20, first=40, agent=agent, bad=[(41, spoilt("NaN"))])

    assert 1 == agent.rollbacks
    assert all(bool(value.isfinite().all()) for value in model.parameters())
    assert [0.01, 0.01] == [group["lr"] for group in optimizer.param_groups]
    agent.close()


def test_it_decides_nothing_and_says_so():
    model = models.make("mlp")
    agent, _ = guarded(model, momentum(model), 20, every=5, background=True)

    decision = agent.decide()

    assert [decision] == agent.decisions
    assert ("kept", None) == (decision.verdict, decision.source)
    assert "there is no language model to ask (lm=None)" in decision.reason
    assert "live SGD (no language model), rollbacks: 0>" in repr(agent)
    agent.close()


@pytest.mark.parametrize("split", [15, 25, 140, 170])
@pytest.mark.parametrize("base", ["SGD", "AdamW"])
def test_a_resumed_run_goes_on_as_the_whole_one(split, base):
    bad = [(step, spoilt("NaN")) for step in (20, 165, 180)]
    whole, before, rest = (models.make("dropout") for _ in range(3))
    torch.manual_seed(3)
    agent, expected = guarded(whole, BASES[base](whole), 200, bad=bad)
    agent.close()

    torch.manual_seed(3)
    half, first = guarded(before, BASES[base](before), split, bad=bad)
    state, weights = half.state_dict(), copy.deepcopy(before.state_dict())
    half.close()
    rest.load_state_dict(weights)
    other = BASES[base](rest)
    again = attach(rest, other, models.objective, lm=None)
    again.load_state_dict(state)
    again, second = guarded(rest, other, 200 - split, bad=bad, first=split, agent=again)

    assert pytest.approx(expected, nan_ok=True, rel=0, abs=0) == [*first, *second]
    assert 3 == again.rollbacks
    assert same([*whole.parameters()], [*rest.parameters()])
    with pytest.raises(TrainingDiverged):
        guarded(rest, other, 1, first=200, agent=again, bad=[(200, spoilt("NaN"))])
    again.close()


def test_a_state_without_snapshots_is_smaller_and_goes_on():
    model = models.make("mlp")
    base = momentum(model)
    live = DuxOptimizer(base, model=model)
    live.guard = guard = RunGuard(live, model)
    for step in range(30):
        loss = one_step(live, model, batch_of(step, [(9, spoilt("NaN"))]), False)
        guard.observed(float(loss.detach()))
    state = guard.state_dict(snapshots=False)
    weights = [value.detach().clone() for value in model.parameters()]

    guard.prepare(state)()
    loss = one_step(live, model, spoilt("NaN")(0), False)
    guard.observed(float(loss.detach()))

    assert state["good"] is None and state["pending"] is None
    assert 2 == guard.rollbacks
    assert same(weights, [*model.parameters()])


@pytest.mark.parametrize(
    "options, said",
    [
        ({"rollback_lr": 0}, "rollback_lr is 0"),
        ({"rollback_lr": 1.5}, "rollback_lr is 1.5"),
        ({"rollback_lr": "half"}, "rollback_lr is 'half'"),
        ({"max_rollbacks": -1}, "max_rollbacks is -1"),
        ({"max_rollbacks": 2.5}, "max_rollbacks is 2.5"),
        ({"fallback": "offline"}, "fallback is 'offline' and lm is None"),
    ],
)
def test_bad_arguments_are_refused(options, said):
    model = models.make("mlp")
    with pytest.raises(BadArgument, match=said):
        attach(model, momentum(model), models.objective, lm=None, **options)


def test_a_damaged_state_is_refused_with_words():
    model = models.make("mlp")
    agent, _ = guarded(model, momentum(model), 5)
    state = agent.state_dict()
    state["run_guard"]["good"]["model"]["values"].pop()

    with pytest.raises(Exception, match="what the guard of the run remembered"):
        agent.load_state_dict(state)
    agent.close()


def test_an_optimizer_that_is_attached_again_has_its_rate_back():
    model = models.make("mlp")
    optimizer = momentum(model)
    guarded(model, optimizer, 30, bad=[(20, spoilt("NaN"))])
    assert 0.01 == optimizer.param_groups[0]["lr"]

    attach(model, optimizer, models.objective, lm=None).close()

    assert 0.02 == optimizer.param_groups[0]["lr"]
