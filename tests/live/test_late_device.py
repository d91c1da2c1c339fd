"""A device whose values come late: what a step left is looked at one step later."""

import copy

import pytest
import torch

from dux_agent import attach
from dux_agent.errors import TrainingDiverged
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.run_guard import RunGuard
from dux_agent.live.swap import swap
from dux_agent.training.loss_feed import LossFeed
from tests import models
from tests.late_device import LateDevice, nobody_waits
from tests.swapping import ADAM, MOMENTUM, SGD, after, live_over

BATCHES = models.batches(6)
SPOILS = "p.fill_(float('nan'))"
GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.005")


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=0.01)


def late_over(model, base=None):
    live = live_over(model, base or sgd(model))
    live.guard.read = LateDevice()
    return live


def gradients(model, step):
    for each in model.parameters():
        each.grad = None
    models.objective(model, BATCHES[step % 6]).backward()


def train(live, model, steps):
    for step in range(*steps):
        gradients(model, step)
        live.step()


def everything(model, live):
    """Parameters, buffers, the base optimizer's momentum, random numbers."""
    momentum = [live.base.state[p].get("momentum_buffer") for p in model.parameters()]
    tensors = [*model.parameters(), *model.buffers(), *momentum]
    return [each.detach().clone() for each in tensors] + [torch.get_rng_state()]


def same(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize("kind", ["mlp", "dropout", "batch norm"])
@pytest.mark.parametrize("sound", [0, 1, 40])
def test_what_spoils_the_weights_is_taken_back_to_before_it_one_step_later(kind, sound):
    model, told = models.make(kind), []
    live = late_over(model)
    live.guard.on_rollback = told.append
    train(live, model, (0, 5))
    swap(live, after(sound, SPOILS, GENTLE))
    before = everything(model, live)

    train(live, model, (5, 6 + sound))
    spoilt = not all(each.isfinite().all() for each in model.parameters())
    none_yet = list(told)
    gradients(model, 6 + sound)
    live.step()

    assert spoilt
    assert [] == none_yet
    assert live.running is live.base_rule
    steps = f"a parameter was not finite after {sound + 1} steps"
    assert [f"{steps}, which its device told a step later"] == told
    assert same(before, everything(model, live))


def test_a_renewed_snapshot_is_what_is_put_back():
    model = models.make("mlp")
    live = late_over(model)
    swap(live, after(255, SPOILS, GENTLE))
    before = None
    for step in range(258):
        if step == 130:
            before = [each.detach().clone() for each in model.parameters()]
        gradients(model, step)
        live.step()

    assert live.running is live.base_rule
    assert same(before, [each.detach() for each in model.parameters()])


def test_a_predecessor_that_is_a_rule_comes_back_with_its_momentum_of_the_swap():
    model = models.make("mlp")
    live = late_over(model)
    swap(live, ADAM)
    train(live, model, (0, 7))
    learned = copy.deepcopy(live.running.snapshot())
    weights = [each.detach().clone() for each in model.parameters()]
    swap(live, after(3, SPOILS))

    train(live, model, (7, 12))

    again = live.running.snapshot()
    assert "class Adam" in live.running.source
    assert same(weights, [each.detach() for each in model.parameters()])
    for index, entry in learned.state.items():
        for name, value in entry.items():
            kept = again.state[index][name]
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(kept))


def test_a_closure_lets_the_predecessor_take_the_step_in_which_it_was_told():
    model, twin = models.make("mlp"), models.make("mlp")
    live, plain = late_over(model), sgd(twin)
    swap(live, after(0, SPOILS))

    def closure_of(optimizer, trained, step):
        def closure():
            optimizer.zero_grad()
            loss = models.objective(trained, BATCHES[step])
            loss.backward()
            return loss

        return closure

    live.step(closure_of(live, model, 0))
    live.step(closure_of(live, model, 1))
    plain.step(closure_of(plain, twin, 1))

    assert live.running is live.base_rule
    assert same([*model.parameters()], [*twin.parameters()])


def test_what_the_loops_closure_raises_hides_nothing_of_the_step_before():
    model = models.make("mlp")
    live = late_over(model)
    swap(live, after(0, SPOILS))
    before = [each.detach().clone() for each in model.parameters()]
    train(live, model, (0, 1))

    def raises():
        raise KeyError("the loop's own")

    with pytest.raises(KeyError):
        live.step(raises)
    train(live, model, (1, 2))

    assert live.running is live.base_rule
    assert same(before, [each.detach() for each in model.parameters()])


def spoilt(model, live):
    swap(live, after(0, SPOILS))
    before = [each.detach().clone() for each in model.parameters()]
    train(live, model, (0, 1))
    return before


def test_a_checkpoint_never_holds_what_a_device_has_yet_to_tell():
    model = models.make("mlp")
    live = late_over(model)
    before = spoilt(model, live)

    saved = live.state_dict()

    assert live.running is live.base_rule
    assert {} == saved["state"]
    assert same(before, [each.detach() for each in model.parameters()])


def test_a_swap_waits_for_what_a_device_has_yet_to_tell():
    model = models.make("mlp")
    live = late_over(model)
    before = spoilt(model, live)

    swap(live, SGD)

    assert live.guard.predecessor.rule is live.base_rule
    assert same(before, [each.detach() for each in model.parameters()])


def test_the_norm_at_the_snapshot_is_read_when_somebody_wants_it():
    model = models.make("mlp")
    live, device = live_over(model, sgd(model)), LateDevice()
    live.guard.read = device
    swap(live, MOMENTUM)
    train(live, model, (0, 1))

    waited = device.waited
    norm = live.guard.watch.usual_norm()

    assert 0 == waited
    gradient = torch.cat([each.grad.flatten() for each in model.parameters()])
    assert norm == pytest.approx(float(gradient.norm()))


@pytest.mark.parametrize("source", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_no_step_of_a_rule_waits_for_the_device(source):
    model = models.make("mlp")
    live = late_over(model)
    swap(live, source)

    with nobody_waits():
        train(live, model, (0, 129))

    assert live.running.source == source
    assert 128 > live.guard.read.waited >= 100


def test_a_step_that_reads_a_weight_is_caught_by_this_test_itself():
    model = models.make("mlp")
    live = live_over(model, sgd(model))  # reads at once
    swap(live, MOMENTUM)

    with pytest.raises(AssertionError, match="_local_scalar_dense"), nobody_waits():
        train(live, model, (0, 1))


def guarded_run(model):
    live = DuxOptimizer(sgd(model), model=model)
    live.guard = RunGuard(live, model)
    live.guard.read = LateDevice()
    return live


def test_a_run_without_rules_goes_back_one_step_later_with_its_momentum():
    model, told = models.make("mlp"), []
    live = guarded_run(model)
    live.guard.on_went_back = told.append
    before = [each.detach().clone() for each in model.parameters()]
    train(live, model, (0, 3))
    gradients(model, 3)
    model[0].weight.grad.fill_(torch.nan)
    live.step()
    none_yet = list(told)
    train(live, model, (4, 5))
    back = [each.detach().clone() for each in model.parameters()]

    assert [] == none_yet
    assert 1 == len(told)
    assert "not finite after step 4, which its device told a step later" in (
        told[0].reason
    )
    assert same(before, back)
    assert not any("momentum_buffer" in entry for entry in live.base.state.values())


def test_no_step_of_a_run_without_rules_waits_for_the_device():
    model = models.make("mlp")
    live = guarded_run(model)
    train(live, model, (0, 1))  # the first compares the weights with the snapshot's

    with nobody_waits():
        train(live, model, (1, 129))

    assert 0 == live.guard.rollbacks


def test_what_a_device_has_yet_to_tell_of_a_run_is_waited_for_between_two_steps():
    model = models.make("mlp")
    live = guarded_run(model)
    train(live, model, (0, 3))
    gradients(model, 3)
    model[0].weight.grad.fill_(torch.nan)
    live.step()

    live.guard.settle()

    assert 1 == live.guard.rollbacks
    assert all(each.isfinite().all() for each in model.parameters())


def good_weights(model):
    return {k: torch.full_like(v, 0.01) for k, v in model.state_dict().items()}


def all_good(model):
    return same([*good_weights(model).values()], [*model.state_dict().values()])


def spoilt_run(model):
    live = guarded_run(model)
    train(live, model, (0, 3))
    gradients(model, 3)
    next(model.parameters()).grad.fill_(torch.nan)
    live.step()
    return live


def test_a_model_that_the_loop_loads_before_the_device_has_told_stays_loaded():
    model, twin = models.make("mlp"), models.make("mlp")
    live, plain = late_over(model), sgd(twin)
    spoilt(model, live)
    for each in (model, twin):
        each.load_state_dict(good_weights(each))

    train(live, model, (1, 2))  # its predecessor takes the step
    train(plain, twin, (1, 2))

    assert live.running is live.base_rule
    assert same([*model.parameters()], [*twin.parameters()])


def test_a_model_that_the_loop_of_a_run_loads_stays_loaded():
    model = models.make("batch norm")
    live = spoilt_run(model)
    model.load_state_dict(good_weights(model))
    live.guard.settle()

    assert 1 == live.guard.rollbacks
    assert all_good(model)
    assert not any("momentum_buffer" in entry for entry in live.base.state.values())


def test_a_model_that_is_loaded_stays_where_no_rollback_is_left():
    model = models.make("mlp")
    live = spoilt_run(model)
    live.guard._max_rollbacks = 0
    model.load_state_dict(good_weights(model))

    with pytest.raises(TrainingDiverged):
        live.state_dict()

    assert all_good(model)


def test_what_the_loop_wrote_in_part_is_its_own_and_the_rest_is_put_back():
    model = models.make("mlp")
    live = late_over(model)
    before = spoilt(model, live)
    weight, *_ = model.parameters()
    with torch.no_grad():
        weight.fill_(0.25)
    live.guard.settle()

    assert bool((weight == 0.25).all())
    assert same(before[1:], [*model.parameters()][1:])


def test_a_loop_that_clamps_weights_that_are_not_finite_has_not_mended_them():
    model = models.make("mlp")
    live = late_over(model)
    before = spoilt(model, live)
    with torch.no_grad():
        for each in model.parameters():
            each.clamp_(-9.0, 9.0)
    train(live, model, (1, 2))

    assert live.running is live.base_rule
    assert same(before, [*model.parameters()])


@pytest.mark.parametrize("kind", ["mlp", "batch norm"])
def test_a_batch_that_is_not_finite_costs_a_run_one_rollback(kind):
    """Of the losses that come later two are of weights that are put back by then."""
    model = models.make(kind)
    with attach(model, sgd(model), models.objective, lm=None) as agent:
        agent.training.feed = LossFeed(LateDevice())
        agent.optimizer.guard.read = LateDevice()
        for step in range(40):
            inputs, targets = BATCHES[step % 6]
            batch = (inputs * torch.nan, targets) if step == 20 else (inputs, targets)
            agent.step(batch)

    assert 1 == agent.rollbacks
    assert all(each.isfinite().all() for each in model.parameters())
