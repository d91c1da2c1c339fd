"""Whatever a loop does to its parameters while a rule is live is followed.

Each training is held against a twin without an agent, in which the very class of the
rule steps the model from the same moment on.
"""

import copy
import itertools
import random

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, prune, vector_to_parameters

from dux_agent import attach
from dux_sandbox import load
from tests import models
from tests.executions import both
from tests.swapping import ADAM, MOMENTUM
from tests.talking import scripted, sgd

SWAP_AT, CHANGE_AT, STEPS = 3, 6, 14


class Square(nn.Module):
    """Layers of one shape, so that they can be tied, swapped and moved about."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.conv = nn.Conv2d(2, 2, (1, 2))
        self.gain = nn.Parameter(torch.tensor(1.0))
        self.unused = nn.Parameter(torch.ones(3))
        self.empty = nn.Parameter(torch.zeros(0, 4))
        self.head = nn.Linear(4, 1)

    def forward(self, inputs):
        hidden = self.second(torch.tanh(self.first(inputs))) * self.gain
        return self.head(self.conv(hidden.view(-1, 2, 1, 3)).flatten(1))


def make():
    torch.manual_seed(0)
    return Square()


def gradients_of(model, step):
    batches = models.batches()
    models.objective(model, batches[step % len(batches)]).backward()


def train_twin(change, source=MOMENTUM, steps=STEPS):
    """The same training with plain torch optimizers."""
    model = make()
    optimizer = sgd(model)
    going = change(model)
    for step in range(steps):
        if step == SWAP_AT:
            optimizer = load(source)(model.parameters())
        if step >= CHANGE_AT:
            next(going, None)
        optimizer.zero_grad()
        gradients_of(model, step)
        optimizer.step()
    return model


def train_agent(change, execution, source=MOMENTUM, steps=STEPS):
    """The same with an agent; the model, its decisions and what was applied at last."""
    model = make()
    going = change(model)
    with attach(
        model,
        sgd(model),
        models.objective,
        lm=scripted(source),
        execution=execution,
        dry_run_steps=1,
    ) as agent:
        for step in range(steps):
            if step == SWAP_AT:
                agent.observe(1.0, models.batches()[0])
                agent.decide()
            if step >= CHANGE_AT:
                next(going, None)
            agent.optimizer.zero_grad()
            gradients_of(model, step)
            agent.optimizer.step()
    return model, agent


def at_once(function):
    """A change that is made once."""

    def change(model):
        function(model)
        yield

    change.__name__ = function.__name__
    return change


def every_step(function):
    def change(model):
        while True:
            function(model)
            yield

    change.__name__ = function.__name__
    return change


def each(model):
    return list(model.parameters())


@at_once
def clones(model):
    for p in each(model):
        p.data = p.data.clone()


@at_once
def from_a_vector(model):
    vector_to_parameters(parameters_to_vector(each(model)).detach(), each(model))


@every_step
def vector_there_and_back(model):
    vector = parameters_to_vector(each(model)).detach()
    vector_to_parameters(vector * 0.999, each(model))


@every_step
def clamped_in_place(model):
    for p in each(model):
        p.data.clamp_(-0.3, 0.3)


@every_step
def clamped_anew(model):
    for p in each(model):
        p.data = p.data.clamp(-0.3, 0.3)


@every_step
def written_through_a_view(model):
    model.first.weight.detach()[0].mul_(0.5)


@at_once
def doubled_and_back(model):
    model.double().float()


@at_once
def rounded_to_half(model):
    model.half().float()


@at_once
def shared_with_other_processes(model):
    model.share_memory()


@at_once
def channels_last(model):
    model.to(memory_format=torch.channels_last)


@at_once
def transposed_memory(model):
    model.first.weight.data = model.first.weight.data.t().contiguous().t()


@at_once
def memory_with_gaps(model):
    wide = torch.zeros(6, 12)
    wide[:, ::2] = model.first.weight.data
    model.first.weight.data = wide[:, ::2]


@at_once
def pruned(model):
    prune.l1_unstructured(model.first, "weight", amount=0.4)


def pruned_for_good(model):
    prune.l1_unstructured(model.first, "weight", amount=0.4)
    yield
    yield
    prune.remove(model.first, "weight")
    yield


@at_once
def tied_by_data(model):
    model.second.weight.data = model.first.weight.data


def tied_and_untied(model):
    model.second.weight.data = model.first.weight.data
    yield
    yield
    model.second.weight.data = model.second.weight.data.clone()
    yield


@at_once
def tied_transposed(model):
    model.second.weight.data = model.first.weight.data.t()


@at_once
def overlapping(model):
    block = torch.linspace(-0.2, 0.2, 9)
    model.first.bias.data = block[:6]
    model.second.bias.data = block[3:]


def one_flat_buffer(model):
    flat = torch.cat([p.data.flatten() for p in each(model)])
    at = 0
    for p in each(model):
        p.data = flat[at : at + p.numel()].view_as(p)
        at += p.numel()
    while True:
        yield
        flat.mul_(0.99)


def averaged(model):
    """An average that is swapped in by clones and out again."""
    shadow = [p.detach().clone() for p in each(model)]
    while True:
        for mean, p in zip(shadow, each(model), strict=True):
            mean.lerp_(p.detach(), 0.5)
        kept = [p.data for p in each(model)]
        for mean, p in zip(shadow, each(model), strict=True):
            p.data = mean.clone()
        yield
        for own, p in zip(kept, each(model), strict=True):
            p.data = own
        yield


@at_once
def exchanged(model):
    one, other = model.first.weight, model.second.weight
    one.data, other.data = other.data, one.data


@at_once
def set_over_other_memory(model):
    model.first.weight.data.set_(torch.full((6, 6), 0.1))


@at_once
def loaded(model):
    model.load_state_dict({k: v * 0.5 for k, v in model.state_dict().items()})


@at_once
def swapped_by_torch(model):
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        model.zero_grad()
        model.load_state_dict({k: v * 0.5 for k, v in model.state_dict().items()})
        model.double().float()
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


@at_once
def begun_again(model):
    torch.manual_seed(5)
    model.first.reset_parameters()


@at_once
def frozen(model):
    model.first.requires_grad_(False)


def frozen_and_unfrozen(model):
    model.first.requires_grad_(False)
    for _ in range(3):
        yield
    model.first.requires_grad_(True)
    yield


@at_once
def frozen_all_but_one(model):
    model.requires_grad_(False)
    model.head.requires_grad_(True)


@at_once
def copied_and_pickled(model):
    copy.deepcopy(model)


@every_step
def minus_zero_and_subnormal(model):
    with torch.no_grad():
        model.unused[0], model.unused[1] = -0.0, 1e-45


CHANGES = [
    clones,
    from_a_vector,
    vector_there_and_back,
    clamped_in_place,
    clamped_anew,
    written_through_a_view,
    doubled_and_back,
    rounded_to_half,
    shared_with_other_processes,
    channels_last,
    transposed_memory,
    memory_with_gaps,
    pruned,
    pruned_for_good,
    tied_by_data,
    tied_and_untied,
    tied_transposed,
    overlapping,
    one_flat_buffer,
    averaged,
    exchanged,
    set_over_other_memory,
    loaded,
    swapped_by_torch,
    begun_again,
    frozen,
    frozen_and_unfrozen,
    frozen_all_but_one,
    copied_and_pickled,
    minus_zero_and_subnormal,
]


def bits(model):
    return [p.detach().contiguous().view(torch.int32).tolist() for p in each(model)]


@both
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_training_is_that_of_the_twin_to_the_last_bit(change, execution):
    source = ADAM if CHANGES.index(change) % 2 else MOMENTUM
    twin = train_twin(change, source)

    model, agent = train_agent(change, execution, source)

    assert ["applied"] == [decision.verdict for decision in agent.decisions]
    assert bits(twin) == bits(model)


@both
@pytest.mark.parametrize(
    "order", list(itertools.permutations([clones, tied_by_data, one_flat_buffer], 3))
)
def test_changes_in_any_order_are_followed(order, execution):
    def change(model):
        for one in order:
            going = one(model)
            next(going)
            yield
            yield

    twin = train_twin(change)

    model, agent = train_agent(change, execution)

    assert "applied" == agent.decisions[0].verdict
    assert bits(twin) == bits(model)


@both
@pytest.mark.parametrize("seed", range(8))
def test_six_changes_drawn_at_random_are_followed(seed, execution):
    # These of torch take no transposed weight, which others of the changes leave.
    narrow = (pruned, pruned_for_good, from_a_vector, vector_there_and_back)
    rest = [one for one in CHANGES if one not in narrow]
    drawn = random.Random(seed).sample(rest, 6)

    def change(model):
        for one in drawn:
            going = one(model)
            for _ in range(3):
                next(going, None)
                yield

    twin = train_twin(change, ADAM, steps=26)

    model, agent = train_agent(change, execution, ADAM, steps=26)

    assert "applied" == agent.decisions[0].verdict
    assert bits(twin) == bits(model)


def sam_by_rebinding(model, gradients):
    """The common hand-made SAM: up the slope in new memory, back in the old."""
    gradients()
    kept = [p.data for p in model.parameters()]
    norm = sum(p.grad.square().sum() for p in model.parameters() if p.grad is not None)
    for p in model.parameters():
        if p.grad is not None:
            p.data = p.data + 0.05 * p.grad / (norm.sqrt() + 1e-12)
    loss = gradients()
    for p, data in zip(model.parameters(), kept, strict=True):
        p.data = data
    return loss


def sam_in_place(model, gradients):
    gradients()
    there = [p for p in model.parameters() if p.grad is not None]
    moves = [0.05 * p.grad for p in there]
    for p, move in zip(there, moves, strict=True):
        p.data.add_(move)
    loss = gradients()
    for p, move in zip(there, moves, strict=True):
        p.data.sub_(move)
    return loss


def sam_in_clones(model, gradients):
    kept = [p.detach().clone() for p in model.parameters()]
    loss = sam_by_rebinding(model, gradients)
    for p, data in zip(model.parameters(), kept, strict=True):
        p.data = data
    return loss


def clamps(model, gradients):
    for p in model.parameters():
        p.data = p.data.clamp(-0.3, 0.3)
    return gradients()


def freezes(model, gradients):
    model.first.requires_grad_(False)
    return gradients()


LOOPS = [sam_by_rebinding, sam_in_place, sam_in_clones, clamps, freezes]
TWICE = MOMENTUM.replace(
    "                loss = closure()\n",
    "                loss = closure()\n"
    "            for group in self.param_groups:\n"
    '                for p in group["params"]:\n'
    "                    p.mul_(0.999)\n"
    "            with torch.enable_grad():\n"
    "                loss = closure()\n",
)


def loop_of(loop, model, optimizer_of, by_closure):
    """Train; `optimizer_of(step)` is what steps."""
    for step in range(STEPS):
        optimizer = optimizer_of(step)

        def gradients(step=step, optimizer=optimizer):
            optimizer.zero_grad()
            loss = models.objective(model, models.batches()[step % 3])
            loss.backward()
            return loss

        if by_closure:
            optimizer.step(lambda gradients=gradients: loop(model, gradients))
        else:
            loop(model, gradients)
            optimizer.step()


@both
@pytest.mark.parametrize("manner", ["plain", "closure", "closure twice"])
@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_what_a_loop_or_its_closure_does_to_weights_is_its_own(loop, manner, execution):
    source = TWICE if manner == "closure twice" else MOMENTUM
    by_closure = manner != "plain"
    twin, model = make(), make()
    base = sgd(twin)
    rule = load(source)(twin.parameters())
    loop_of(loop, twin, lambda step: base if step < SWAP_AT else rule, by_closure)

    with attach(
        model,
        sgd(model),
        models.objective,
        lm=scripted(source),
        execution=execution,
        dry_run_steps=1,
    ) as agent:

        def optimizer_of(step):
            if step == SWAP_AT:
                agent.observe(1.0, models.batches()[0])
                agent.decide()
            return agent.optimizer

        loop_of(loop, model, optimizer_of, by_closure)

    assert ["applied"] == [decision.verdict for decision in agent.decisions]
    assert bits(twin) == bits(model)


HALVES = MOMENTUM.replace(
    "                loss = closure()\n",
    "                loss = closure()\n"
    "            for group in self.param_groups:\n"
    '                for p in group["params"]:\n'
    "                    if p.grad is not None:\n"
    "                        p.grad.mul_(0.5)\n"
    "            with torch.enable_grad():\n"
    "                loss = closure()\n",
)


@both
def test_a_closure_finds_the_gradients_that_the_rule_has_changed(execution):
    seen = []
    model = make()
    with attach(
        model,
        sgd(model),
        models.objective,
        lm=scripted(HALVES),
        execution=execution,
        dry_run_steps=1,
    ) as agent:

        def closure():
            """Evaluates the loss; the gradients are the loop's."""
            seen.append(float(model.gain.grad))
            return models.objective(model, models.batches()[0])

        for step in range(4):
            if step == 2:
                agent.observe(1.0, models.batches()[0])
                assert "applied" == agent.decide().verdict
            agent.optimizer.zero_grad()
            gradients_of(model, step)
            whole = float(model.gain.grad)
            agent.optimizer.step(closure)

    assert [whole, 0.5 * whole] == seen[-2:]
    assert 0.5 * whole == float(model.gain.grad)
