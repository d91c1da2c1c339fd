"""What a decision will need is tried at attach, and said there."""

import copy
import random

import numpy
import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_agent.errors import BadArgument
from dux_agent.run_folder import trace
from tests import models
from tests.swapping import SGD
from tests.talking import run, scripted, sgd

EXECUTIONS = ["inline", "isolated"]


class Uncopyable(nn.Module):
    """Cannot be copied, as modules that hold handles or generators cannot."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 1)
        self.handle = (number for number in range(3))

    def forward(self, inputs):
        return self.layer(inputs)


OTHER = nn.Linear(6, 1)


def returns_a_number(model, batch):
    return models.objective(model, batch).item()


def returns_a_vector(model, batch):
    return (model(batch[0]) - batch[1]).square().flatten()


def uses_another_model(model, batch):
    return models.objective(OTHER, batch)


def is_detached(model, batch):
    return models.objective(model, batch).detach()


def is_constant(model, batch):
    return torch.tensor(1.0, requires_grad=True)


OBJECTIVES = {
    returns_a_number: "the objective returned a float; a scalar tensor was wanted",
    returns_a_vector: "the loss is a tensor of shape (12,); a scalar was wanted",
    uses_another_model: "the objective gave no gradient to the model it was handed",
    is_detached: "the objective gave no gradient",
    is_constant: "the objective gave no gradient",
}


def attached(model=None, objective=models.objective, **options):
    model = model or models.make("mlp")
    options = {"lm": scripted(SGD), "execution": "inline", **options}
    return attach(model, sgd(model), objective, **options)


def said(**options):
    with pytest.raises(BadArgument) as raised:
        attached(**options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_an_objective_that_cannot_be_used_is_refused_with_a_batch(objective, tmp_path):
    path = tmp_path / "run"

    message = said(objective=objective, batch=models.batches()[0], run_dir=path)

    assert OBJECTIVES[objective] in message
    assert not path.exists()


@pytest.mark.parametrize("how", ["observe", "step"])
@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_or_with_the_first_batch_before_anything_is_counted(objective, how, tmp_path):
    model = models.make("mlp")
    before = copy.deepcopy(model.state_dict())
    agent = attached(model, objective, run_dir=tmp_path / "run")
    batch = models.batches()[0]

    with pytest.raises(BadArgument) as raised:
        if how == "step":
            agent.step(batch)
        else:
            agent.observe(0.5, batch)

    assert OBJECTIVES[objective] in str(raised.value)
    assert 0 == agent.step_count
    assert not agent.training.batches
    assert [] == [each for each in trace.read(tmp_path / "run") if each.kind == "loss"]
    assert all(map(torch.equal, before.values(), model.state_dict().values()))
    agent.close()


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_model_that_cannot_be_copied_is_refused(execution, tmp_path):
    message = said(model=Uncopyable(), execution=execution, run_dir=tmp_path / "run")

    assert "the model cannot be deep-copied" in message
    assert "pass clone=" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "clone, found",
    [
        (lambda model: model, "clone returned the model itself"),
        (lambda model: nn.Linear(2, 1), "clone returned a model with 2 parameters"),
        (lambda model: None, "clone returned a NoneType"),
    ],
)
def test_a_clone_that_is_none_is_refused(clone, found):
    assert found in said(clone=clone)


@pytest.mark.parametrize(
    "returned, found",
    [
        (None, "validate returned a NoneType; a number"),
        ({"loss": 1.0}, "validate returned a dict; a number"),
        (torch.ones(3), "validate returned a Tensor of shape (3,); a number"),
        ("0.5 or so", "validate returned a str; a number"),
    ],
)
def test_a_validation_that_returns_no_number_is_refused(returned, found):
    assert found in said(validate=lambda model: returned)


@pytest.mark.parametrize("where", ["objective", "validate", "clone"])
def test_what_the_callers_own_functions_raise_comes_out_as_it_is(where):
    def broken(*_):
        raise ZeroDivisionError("the caller's own")

    with pytest.raises(ZeroDivisionError, match="the caller's own"):
        attached(batch=models.batches()[0], **{where: broken})


def test_a_refused_attach_leaves_the_agent_before_it_alone():
    model = models.make("mlp")
    with attached(model) as former:
        with pytest.raises(BadArgument):
            attached(model, returns_a_number, batch=models.batches()[0])

        assert not former.closed


def draws(model, batch):
    """Draws from every generator, moves buffers, and keeps a count."""
    draws.count += 1
    torch.rand(2), random.random(), numpy.random.rand()
    return models.objective(model, batch)


draws.count = 0


@pytest.mark.parametrize("kind", list(models.KINDS))
@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("when", ["at attach", "with the first batch"])
def test_looking_leaves_everything_as_it_was(kind, execution, when):
    model = models.make(kind)
    optimizer = sgd(model)
    batch = models.batches()[0]
    models.objective(model, batch).backward()
    model.eval()
    gradients = [p.grad for p in model.parameters()]
    held = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    before = copy.deepcopy(model.state_dict())
    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1]

    def validate(net):
        torch.rand(1), random.random(), numpy.random.rand()
        net.train()
        return draws(net, batch)

    options = {"batch": batch} if when == "at attach" else {}
    agent = attach(
        model,
        optimizer,
        draws,
        lm=scripted(SGD),
        execution=execution,
        validate=validate,
        **options,
    )
    if not options:
        agent.observe(0.5, batch, scale=1.0)

    assert all(map(torch.equal, before.values(), model.state_dict().values()))
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert all(map(torch.equal, held, [g for g in gradients if g is not None]))
    assert not any(module.training for module in model.modules())
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert (states[2] == numpy.random.get_state()[1]).all()
    assert {} == dict(optimizer.state)
    agent.close()


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_run_that_was_looked_at_trains_as_one_that_was_not(execution):
    model, twin = models.make("dropout"), models.make("dropout")
    batch = models.batches()[0]
    torch.manual_seed(3)
    options = {"validate": lambda net: draws(net, batch), "batch": batch}
    with attached(model, draws, execution=execution, **options) as agent:
        run(agent, 10)
    torch.manual_seed(3)
    plain = sgd(twin)
    for step in range(10):
        plain.zero_grad()
        draws(twin, models.batches()[step % 3]).backward()
        plain.step()

    assert all(map(torch.equal, model.parameters(), twin.parameters()))


def test_the_objective_is_called_once_for_it_and_not_again():
    calls = []

    def counted(model, batch):
        calls.append(model)
        return models.objective(model, batch)

    model = models.make("mlp")
    agent = attached(model, counted, batch=models.batches()[0])
    assert 1 == len(calls)
    assert calls[0] is not model
    for batch in models.batches():
        agent.observe(0.5, batch, scale=1.0)

    assert 1 == len(calls)
    agent.close()


def test_a_model_whose_weights_are_all_frozen_yet_is_no_fault():
    model = models.make("mlp")
    optimizer = sgd(model)
    model.requires_grad_(False)

    attach(
        model,
        optimizer,
        models.objective,
        lm=scripted(SGD),
        batch=models.batches()[0],
    ).close()


def test_without_a_language_model_nothing_of_it_is_needed():
    model = Uncopyable()
    agent = attached(model, lm=None, validate=lambda net: None)

    agent.step(models.batches()[0])

    assert 1 == agent.step_count
    agent.close()


@pytest.mark.parametrize("how", ["step", "observe"])
def test_a_batch_that_can_be_read_only_once_is_refused_in_words(how):
    model = models.make("mlp")
    with (
        attach(model, sgd(model), models.objective, lm=scripted()) as agent,
        pytest.raises(BadArgument, match=r"a zip, which can .* once; .* pass list\("),
    ):
        batch = zip([1], [2], strict=True)
        agent.step(batch) if how == "step" else agent.observe(0.5, batch)
