"""What a decision will need is told beforehand, and is what it then needs."""

import warnings

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_agent.errors import BadArgument
from dux_agent.training.memory import in_the_state
from tests import models
from tests.swapping import ADAM, MOMENTUM
from tests.talking import run, scripted, sgd

SLOW = MOMENTUM.replace("lr=0.05", "lr=1e-9")


class Adapted(nn.Module):
    """A large frozen layer with a small trained one beside it."""

    def __init__(self):
        super().__init__()
        self.large = nn.Linear(6, 400).requires_grad_(False)
        self.small = nn.Linear(6, 1)

    def forward(self, inputs):
        return self.small(inputs) + self.large(inputs).mean(1, keepdim=True)


class SharedMemory(nn.Module):
    """Two weights that are views of one block."""

    def __init__(self):
        super().__init__()
        block = torch.randn(2, 6)
        self.one, self.two = nn.Parameter(block[:1]), nn.Parameter(block[1:])

    def forward(self, inputs):
        return inputs @ self.one.T + inputs @ self.two.T


MAKES = {
    **{kind: (lambda kind=kind: models.make(kind)) for kind in models.KINDS},
    "adapted": Adapted,
    "shared memory": SharedMemory,
}


def size(tensors):
    return sum(each.numel() * each.element_size() for each in tensors)


def memory(tensors):
    """Bytes of the storages that tensors lie in, each once, by address."""
    held = {}
    for each in tensors:
        storage = each.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
    return held


def tensors_of(model):
    for module in model.modules():
        for table in (module._parameters, module._buffers, vars(module)):
            yield from (v for v in table.values() if isinstance(v, torch.Tensor))


class Counting:
    """An objective that counts what is done with each copy of the model."""

    def __init__(self, model):
        self.model = model
        self.forwards, self.backwards = [], []
        self.copies, self.gradients = {}, {}

    def __call__(self, model, batch):
        loss = models.objective(model, batch)
        if model is self.model:
            return loss
        self.forwards.append(1)  # a plain number would be put back
        if loss.requires_grad:
            loss.register_hook(lambda _: self.backwards.append(1))
        if id(model) not in self.copies:
            own = memory(tensors_of(self.model))
            found = memory(tensors_of(model))
            self.copies[id(model)] = (
                model,
                sum(size for at, size in found.items() if at not in own),
            )
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.register_post_accumulate_grad_hook(self.take)
        return loss

    def take(self, parameter):
        self.gradients[id(parameter)] = size([parameter.grad])

    def of_a_copy(self):
        """Bytes of a copy and of its gradients, the largest that was seen."""
        return max(
            held + sum(self.gradients.get(id(each), 0) for each in model.parameters())
            for model, held in self.copies.values()
        )

    def forget(self):
        self.forwards, self.backwards = [], []
        self.copies, self.gradients = {}, {}


def counted(model, *sources, **options):
    given = {"execution": "inline", "lm": scripted(*sources), "accept": "finite"}
    options = given | options
    objective = Counting(model)
    agent = attach(model, sgd(model), objective, **options)
    return agent, objective


@pytest.mark.parametrize("make", list(MAKES))
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_copy_takes_what_the_plan_says(make):
    model = MAKES[make]()
    agent, objective = counted(model, ADAM)
    run(agent, 10)
    plan = agent.plan()
    objective.forget()

    assert "applied" == agent.decide().verdict

    assert plan.clone == objective.of_a_copy()
    state = size(
        value
        for entry in agent.optimizer.base.state.values()
        for value in entry.values()
        if isinstance(value, torch.Tensor)
    )
    assert plan.incumbent_copy == plan.clone + state
    agent.close()


@pytest.mark.parametrize("make", list(MAKES))
@pytest.mark.parametrize("execution", ["inline", "isolated"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_stays_while_a_rule_is_live_is_what_the_plan_says(make, execution):
    model = MAKES[make]()
    agent, _ = counted(model, ADAM, execution=execution)
    run(agent, 10)
    plan = agent.plan()
    agent.decide()
    run(agent, 3)
    snapshot = agent.optimizer.guard.watch.snapshot
    rule = agent.optimizer.running

    assert plan.snapshot == size([*snapshot.values, *snapshot.buffers.values()])
    trained = [p for g in agent.optimizer.param_groups for p in g["params"]]
    assert plan.rule_state == 2 * size(trained)
    kept = plan.snapshot + plan.rule_state
    if execution == "isolated":
        assert plan.child == rule.mirror.size
        kept += rule.mirror.size
    assert plan.while_a_rule_is_live == kept
    agent.close()


def test_batches_count_as_many_as_are_kept():
    agent, _ = counted(models.make("mlp"), ADAM)
    assert agent.plan().batches is None
    assert "not known" in str(agent.plan())
    run(agent, 1)
    first = agent.plan().batches
    run(agent, 20)

    held = sum(memory(t for b in agent.training.batches for t in b).values())
    # Three batches in turn: the row holds each of them several times.
    assert first == agent.plan().batches == 10 * size(models.batches()[0])
    assert held <= first
    agent.close()


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("steps", [3, 10])
def test_passes_are_as_many_as_the_plan_says(accumulate, steps):
    model = models.make("mlp")
    agent, objective = counted(model, MOMENTUM, dry_run_steps=steps, validate=len)
    for step in range(8):
        agent.optimizer.zero_grad()
        for turn in range(accumulate):
            batch = models.batches()[(step + turn) % 3]
            loss = objective(model, batch) / accumulate
            loss.backward()
            agent.observe(loss, batch)
        agent.optimizer.step()
    plan = agent.plan()
    objective.forget()

    decision = agent.decide()

    assert "applied" == decision.verdict
    assert plan.forwards.least == len(objective.forwards)
    assert plan.backwards.least == len(objective.backwards)
    assert (plan.model_calls.least, plan.validations) == (decision.usage["calls"], 1)
    agent.close()


@pytest.mark.parametrize("candidates", [1, 2])
def test_and_at_most_as_many_where_every_proposal_is_refused(candidates):
    model = models.make("mlp")
    sources = [SLOW.replace("1e-9", f"{n}e-9") for n in range(1, 10)]
    options = {"candidates": candidates, "accept": "not_worse"}
    agent, objective = counted(model, *sources, **options)
    run(agent, 8)
    plan = agent.plan()
    objective.forget()

    decision = agent.decide()

    assert "kept" == decision.verdict
    assert plan.model_calls.most == decision.usage["calls"]
    forwards, backwards = len(objective.forwards), len(objective.backwards)
    assert (plan.forwards.most, plan.backwards.most) >= (forwards, backwards)
    if candidates == 1:  # of several, whoever fails in a short one has no whole one
        assert (forwards, backwards) == (plan.forwards.most, plan.backwards.most)
    agent.close()


@pytest.mark.parametrize("execution", ["inline", "isolated"])
@pytest.mark.parametrize("candidates", [1, 4])
@pytest.mark.parametrize("most", [20, 33, 60])
def test_no_decision_evaluates_more_gradients_than_it_may(execution, candidates, most):
    sources = [SLOW.replace("1e-9", f"{n}e-9") for n in range(1, 13)]
    options = {"candidates": candidates, "execution": execution, "accept": "not_worse"}
    agent, objective = counted(
        models.make("mlp"), *sources, decision_steps=most, **options
    )
    run(agent, 8)
    plan = agent.plan()
    objective.forget()

    decision = agent.decide()

    assert "kept" == decision.verdict
    assert len(objective.backwards) <= plan.backwards.most <= most
    assert len(objective.forwards) <= plan.forwards.most
    assert f"(decision_steps={most})" in str(plan)
    agent.close()


def test_a_decision_for_which_a_proposal_has_no_room_is_refused_at_once():
    with pytest.raises(BadArgument, match="decision_steps=20 or more"):
        counted(models.make("mlp"), ADAM, decision_steps=19)


def test_seconds_are_told_at_the_pace_of_training_and_then_of_decisions():
    agent, _ = counted(models.make("mlp"), ADAM)
    assert agent.plan().seconds_most is None
    run(agent, 8)
    before = agent.plan()
    decision = agent.decide()
    after = agent.plan()

    assert 0 < before.seconds_most and "on top" in str(before)
    # 20 base steps were taken, and 40 are the most.
    assert 2 * decision.seconds == pytest.approx(after.seconds_most)
    told = "at most 40 base steps (40 gradient evaluations), about"
    assert told in after.in_one_line
    agent.close()


def test_attempts_that_an_older_checkpoint_holds_are_passed_over():
    agent, _ = counted(models.make("mlp"), ADAM)
    run(agent, 8)
    before = agent.plan().seconds_most
    agent.decide().attempts = [{"try": 1}]

    assert before == agent.plan().seconds_most
    agent.close()


def test_what_is_put_back_afterwards_counts_too():
    other = nn.Sequential(nn.Linear(1, 50), nn.BatchNorm1d(50), nn.Linear(50, 1))
    model = models.make("batch norm")
    own = size(model.buffers())

    def objective(net, batch):
        return models.objective(net, batch) + other(net(batch[0])).mean() * 0

    agent = attach(model, sgd(model), objective, lm=scripted(ADAM))

    kept = size([*other.parameters(), *other.buffers()])
    assert own + kept == agent.plan().kept_aside
    agent.close()


@pytest.mark.parametrize("place", ["device", "host", "off"])
def test_snapshots_live_where_they_were_put(place):
    agent, _ = counted(models.make("mlp"), ADAM, snapshots=place)

    plan = agent.plan()

    assert (place == "off") == (plan.snapshot == 0)
    told = {"device": "beside the model", "host": "CPU's memory", "off": "none is kept"}
    assert told[place] in str(plan)
    agent.close()


@pytest.mark.parametrize("base", ["SGD", "AdamW"])
def test_without_a_language_model_only_the_snapshot_is_left(base):
    model = models.make("batch norm")
    optimizer = getattr(torch.optim, base)(model.parameters(), lr=0.01)
    agent = attach(model, optimizer, models.objective, lm=None)
    before = agent.plan()
    run(agent, 3)
    state = size(
        value
        for entry in optimizer.state.values()
        for value in entry.values()
        if isinstance(value, torch.Tensor)
    )

    expected = size([*model.parameters(), *model.buffers()]) + state
    assert expected == agent.plan().snapshot == before.snapshot
    assert "there is no language model" in str(agent.plan())
    assert agent.plan().batches == agent.plan().clone == agent.plan().child == 0
    agent.close()


OPTIMIZERS = [
    name
    for name in dir(torch.optim)
    if isinstance(kind := getattr(torch.optim, name), type)
    and issubclass(kind, torch.optim.Optimizer)
    and name not in ("Optimizer", "LBFGS", "SparseAdam")
]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_that_a_first_step_will_make_is_foreseen(name):
    weights = [nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(3, 3))]
    optimizer = getattr(torch.optim, name)(weights, lr=0.01)
    before = [weight.detach().clone() for weight in weights]

    foreseen = in_the_state(optimizer)

    assert all(map(torch.equal, before, weights))
    assert all(weight.grad is None for weight in weights)
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    made = size(
        value
        for entry in optimizer.state.values()
        for value in entry.values()
        if isinstance(value, torch.Tensor)
    )
    # Two read numbers off their weights: what they keep is known after a step.
    assert foreseen == (0 if name in ("ASGD", "Adafactor") else made)
    assert made == in_the_state(optimizer)


def test_of_an_optimizer_of_the_users_own_nothing_is_tried():
    class Own(torch.optim.SGD):
        def step(self, closure=None):
            raise AssertionError("it was stepped")

    weight = nn.Parameter(torch.ones(3))

    assert 0 == in_the_state(Own([weight], lr=0.1, momentum=0.9))


def test_it_prints_as_a_table_and_shows_as_one():
    agent, _ = counted(models.make("mlp"), ADAM, execution="isolated")
    run(agent, 8)
    agent.decide()
    plan = agent.plan()

    text = str(plan)
    assert text == repr(plan)
    for part in ("batches", "incumbent copy", "clone", "child", "snapshot"):
        assert f"  {part}" in text
    assert "forward passes        22 to 44" in text
    assert "the last one took" in text
    assert all(len(line) < 88 for line in text.splitlines())
    assert plan._repr_html_().startswith("<table><tr><th>batches</th>")
    assert {"batches", "clone", "snapshot"} <= plan.memory.keys()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plan == agent.plan()
    agent.close()


def test_the_best_weights_that_are_kept_count_too():
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    agent, _ = counted(model, ADAM, validate=lambda model: 1.0, keep_best=True)
    with agent:
        told = agent.plan()
    whole = [*model.parameters(), *model.buffers()]

    assert sum(map(_bytes, whole)) == told.memory["best weights"]
    assert "best weights" in repr(told)


def _bytes(tensor):
    return tensor.numel() * tensor.element_size()
