"""A copy of a model for a dry run: wrappers, trainers and agents are no part of it."""

import copy
import pickle
import threading
import warnings
from collections import OrderedDict

import pytest
import torch
import torch.distributed as dist
from torch import nn

from dux_agent import attach
from dux_agent.errors import BadArgument
from dux_sandbox.dry_runs.scratch import CannotClone, clone_model
from dux_sandbox.dry_runs.wrappers import unwrapped
from tests import models
from tests.swapping import SGD
from tests.talking import agent_over, scripted, sgd

EXECUTIONS = ("inline", "isolated")


@pytest.fixture
def alone(tmp_path):
    """A process group of one rank."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dist.init_process_group(
            "gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1
        )
    yield
    dist.destroy_process_group()


def parallel(model):
    return nn.DataParallel(model)


def ddp(model):
    return nn.parallel.DistributedDataParallel(model)


def compiled(model):
    return torch.compile(model, backend="eager")


def compiled_ddp(model):
    return compiled(ddp(model))


def ddp_compiled(model):
    return ddp(compiled(model))


def extended_ddp(model):
    class Mine(nn.parallel.DistributedDataParallel):
        pass

    return Mine(model)


WRAPPERS = [parallel, ddp, compiled, compiled_ddp, ddp_compiled, extended_ddp]


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("wrap", WRAPPERS)
def test_a_wrapped_model_is_copied_and_told_without_its_wrapper(wrap):
    model = models.make("mlp")
    wrapped = wrap(model)

    twin, twin_of = clone_model(wrapped)

    assert unwrapped(wrapped) is model
    assert type(twin) is nn.Sequential
    assert set(map(id, wrapped.parameters())) == set(twin_of)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_ddp_model_of_one_rank_trains_through_decisions(execution):
    model = models.make("mlp")
    wrapped = ddp(model)
    seen = set()

    def objective(model, batch):
        seen.add(type(model).__name__)
        return models.objective(model, batch)

    lm = scripted(SGD)
    with attach(wrapped, sgd(model), objective, lm=lm, execution=execution) as agent:
        for batch in models.batches() * 2:
            agent.optimizer.zero_grad()
            loss = models.objective(wrapped, batch)
            loss.backward()
            agent.optimizer.step()
            agent.observe(loss, batch)
        decision = agent.decide()
        agent.step(models.batches()[0])
        told = str(lm.asked[0])

    assert "applied" == decision.verdict
    assert {"Sequential", "DistributedDataParallel"} == seen  # the last: agent.step
    assert "DistributedDataParallel" not in told


class Scaled(nn.Module):
    """A wrapper of the user's own computes something: it is a part of the model."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, inputs):
        return 2 * self.module(inputs)


@pytest.mark.parametrize(
    "model",
    [
        Scaled(nn.Linear(6, 1)),
        nn.Sequential(OrderedDict(module=nn.Linear(6, 3), last=nn.Tanh())),
        nn.ModuleDict({"module": nn.Linear(6, 1)}),
    ],
)
def test_a_model_with_a_part_called_module_is_no_wrapper(model):
    assert unwrapped(model) is model


class Keeping(nn.Module):
    """A module that holds its own agent, in one way or another."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(6, 1)

    def forward(self, inputs):
        return self.net(inputs)


def as_attribute(model, agent):
    model.agent = agent


def as_optimizer(model, agent):
    model.optimizer = agent.optimizer


def in_a_list(model, agent):
    model.held = [agent, agent.optimizer]


def in_a_dict(model, agent):
    model.net.held = {"agent": (agent,), "optimizer": agent.optimizer}


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("keep", [as_attribute, as_optimizer, in_a_list, in_a_dict])
def test_a_module_that_holds_its_own_agent_is_tried_on_a_copy(keep, execution):
    model = Keeping()
    seen = []

    def objective(model, batch):
        seen.append((getattr(model, "agent", None), getattr(model, "optimizer", None)))
        return models.objective(model, batch)

    with attach(
        model, sgd(model), objective, lm=scripted(SGD), execution=execution
    ) as agent:
        keep(model, agent)
        for batch in models.batches():
            agent.step(batch)
        decision = agent.decide()
        agent.step(models.batches()[0])

    assert "applied" == decision.verdict
    assert 1 == len({tuple(map(id, pair)) for pair in seen})  # the very same


def test_another_copy_of_a_module_that_holds_its_agent_has_none():
    model = Keeping()
    with agent_over(model) as agent:
        model.agent = agent
        average = torch.optim.swa_utils.AveragedModel(model)
        twin = copy.deepcopy([model])[0]

    assert average.module.agent is None
    assert twin.agent is None
    assert torch.equal(model.net.weight, twin.net.weight)


@pytest.mark.parametrize("road", [copy.deepcopy, copy.copy, pickle.dumps])
@pytest.mark.parametrize("what", ["agent", "a module with it"])
def test_an_agent_that_is_to_be_copied_or_pickled_says_what_to_do(what, road):
    model = Keeping()
    with agent_over(model) as agent:
        model.agent = agent
        value = {"agent": agent, "a module with it": model}[what]
        if what == "a module with it" and road is not pickle.dumps:
            road(value)
            return

        with pytest.raises(TypeError, match="take its state_dict"):
            road(value)


class Refusing(nn.Module):
    """A module that says something of its own to being copied."""

    def __init__(self, error):
        super().__init__()
        self.net = nn.Linear(6, 1)
        self.error = error

    def __deepcopy__(self, memo):
        raise self.error

    def forward(self, inputs):
        return self.net(inputs)


@pytest.mark.parametrize(
    "error",
    [
        AssertionError("FSDP does not support deepcopy."),
        AttributeError("no such thing"),
        KeyError("missing"),
        RuntimeError("not a leaf"),
        NotImplementedError("no"),
        OSError("no file"),
    ],
)
def test_a_model_that_cannot_be_copied_says_what_to_pass(error):
    with pytest.raises(CannotClone, match=rf"{type(error).__name__}: .*pass clone="):
        clone_model(Refusing(error))


def test_a_model_that_cannot_be_copied_is_no_raw_error_of_a_decision():
    model = models.make("mlp")
    with agent_over(model, SGD) as agent:
        agent.step(models.batches()[0])
        model.lock = threading.Lock()

        with pytest.raises(BadArgument, match="cannot be deep-copied.*pass clone="):
            agent.decide()


def test_results_that_a_model_keeps_are_copied_as_values():
    model = models.make("mlp")
    state = model(torch.ones(2, 6))
    model.states = {"last": [state, (state * 2,)]}

    twin, _ = clone_model(model)

    assert torch.equal(state, twin.states["last"][0])
    assert twin.states["last"][0] is not state
    assert twin.states["last"][0].grad_fn is None


def same_memory(model):
    twin = copy.deepcopy(model)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        other.data = one.data
    return twin


@pytest.mark.parametrize(
    "clone, said",
    [
        (same_memory, "shares or reshapes"),
        (lambda model: model, "the model itself"),
        (lambda model: nn.Linear(2, 1), "2 parameters"),
        (lambda model: None, "a NoneType"),
    ],
)
def test_a_clone_that_is_no_independent_copy_is_refused(clone, said):
    with pytest.raises(CannotClone, match=said):
        clone_model(models.make("mlp"), clone)


def test_a_clone_that_is_built_anew_draws_nothing_of_trainings():
    model = models.make("mlp")

    def clone(model):
        twin = models.mlp()  # draws its weights
        twin.load_state_dict(model.state_dict())
        return twin

    before = torch.get_rng_state()

    clone_model(model, clone)

    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_an_objective_that_tells_its_agent_of_losses_tells_of_the_loops_alone(
    execution,
):
    model = Keeping()
    model.agent = None

    def objective(model, batch):
        loss = models.objective(model, batch)
        if model.agent is not None:
            model.agent.observe(loss, batch, scale=1.0)
        return loss

    lm = scripted(SGD)
    with attach(
        model, sgd(model), objective, lm=lm, every=3, execution=execution
    ) as agent:
        model.agent = agent
        for batch in models.batches() * 3:
            agent.optimizer.zero_grad()
            objective(model, batch).backward()
            agent.optimizer.step()

        assert [3, 6] == [each.step for each in agent.decisions]
        assert 8 == agent.step_count


@pytest.mark.parametrize(
    "do, said",
    [
        (lambda agent, batch: agent.optimizer.step(), "steps the live optimizer"),
        (lambda agent, batch: agent.decide(), "asks for a decision"),
        (lambda agent, batch: agent.step(batch), "asks|steps"),
    ],
)
def test_an_objective_that_trains_is_refused_in_so_many_words(do, said):
    model = Keeping()
    model.agent = None
    inside = False

    def objective(model, batch):
        nonlocal inside
        if model.agent is not None and not inside:
            inside = True
            try:
                do(model.agent, batch)
            finally:
                inside = False
        return models.objective(model, batch)

    with attach(model, sgd(model), objective, lm=scripted(SGD)) as agent:
        for batch in models.batches():
            agent.step(batch)
        weights = [each.detach().clone() for each in model.parameters()]
        model.agent = agent

        with pytest.raises(BadArgument, match=said):
            agent.decide()

        assert all(map(torch.equal, weights, model.parameters()))
