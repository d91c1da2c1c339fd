"""`keep_best=True`: the weights with the best validation loss, put back on demand."""

import pytest
import torch
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.errors import BadArgument
from dux_agent.runs.training import train
from tests import models
from tests.swapping import MOMENTUM, SGD
from tests.talking import agent_over, run

TASK = "tests.foreign_tasks:build"
executions = pytest.mark.parametrize("execution", ["isolated", "inline"])


def scripted_losses(*losses):
    """A `validate` that returns these one after the other, once attach has tried it."""
    left = [0.0, *losses]
    return lambda model: left.pop(0) if len(left) > 1 else left[0]


def weights_of(model):
    """Copies of all parameters and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) for name in one
    )


@executions
@pytest.mark.parametrize("kind", ["mlp", "batch norm", "tied", "parametrised"])
def test_the_best_weights_are_put_back_bit_for_bit_and_buffers_too(kind, execution):
    model = models.make(kind)
    identities = [id(each) for each in model.parameters()]
    with agent_over(
        model,
        SGD,
        MOMENTUM,
        execution=execution,
        keep_best=True,
        validate=scripted_losses(3.0, 1.0, 2.0, 4.0),
    ) as agent:
        held = []
        for _ in range(3):
            run(agent, 3)
            held.append(weights_of(model))
            agent.decide()
        run(agent, 3)
        best = agent.restore_best()

    assert (6, 1.0) == (best.step, best.loss)
    assert same(held[1], weights_of(model))
    assert identities == [id(each) for each in model.parameters()]


@executions
def test_weights_that_are_better_now_are_the_best(execution):
    model = models.make("mlp")
    with agent_over(
        model,
        SGD,
        execution=execution,
        keep_best=True,
        validate=scripted_losses(3.0, 2.5),
    ) as agent:
        run(agent, 3)
        agent.decide()
        run(agent, 3)
        now = weights_of(model)
        best = agent.restore_best()
        run(agent, 3)  # training goes on from there

    assert (6, 2.5) == (best.step, best.loss)
    assert not same(now, weights_of(model))


@executions
def test_keeping_the_best_changes_nothing_in_a_training(execution):
    def trained(**options):
        model = models.make("batch norm")
        with agent_over(
            model,
            SGD,
            execution=execution,
            validate=lambda model: 1.0,
            **options,
        ) as agent:
            losses = run(agent, 4)
            agent.decide()
            return losses + run(agent, 4), weights_of(model)

    losses, weights = trained()
    kept_losses, kept_weights = trained(keep_best=True)

    assert losses == kept_losses
    assert same(weights, kept_weights)


@executions
def test_the_best_weights_survive_a_checkpoint(execution, tmp_path):
    options = {"execution": execution, "keep_best": True}
    model = models.make("mlp")
    losses = scripted_losses(1.0, 2.0)
    with agent_over(model, SGD, validate=losses, **options) as agent:
        run(agent, 3)
        best = weights_of(model)
        agent.decide()
        run(agent, 3)
        torch.save(
            {"agent": agent.state_dict(), "model": model.state_dict()}, tmp_path / "c"
        )
    saved = torch.load(tmp_path / "c", weights_only=True)
    other = models.make("mlp")
    other.load_state_dict(saved["model"])
    with agent_over(other, SGD, validate=scripted_losses(5.0), **options) as agent:
        agent.load_state_dict(saved["agent"])
        run(agent, 2)
        restored = agent.restore_best()

    assert (3, 1.0) == (restored.step, restored.loss)
    assert same(best, weights_of(other))


@pytest.mark.parametrize("part", ["step", "loss", "weights"])
def test_a_checkpoint_with_damaged_best_weights_is_refused(part):
    from dux_agent.live.saved_checkpoint import CheckpointRefused

    options = {"keep_best": True, "validate": scripted_losses(1.0)}
    model = models.make("mlp")
    with agent_over(model, SGD, **options) as agent:
        run(agent, 3)
        agent.decide()
        state = agent.state_dict()
        state["best"] = {**state["best"], part: "damaged"}

        with pytest.raises(CheckpointRefused):
            agent.load_state_dict(state)


def test_the_best_is_kept_also_when_the_budget_is_spent():
    model = models.make("mlp")
    losses = scripted_losses(3.0, 1.0, 2.0)
    with agent_over(model, SGD, keep_best=True, validate=losses, budget=1) as agent:
        run(agent, 3)
        agent.decide()
        run(agent, 3)
        best = weights_of(model)
        agent.decide()
        run(agent, 3)
        agent.restore_best()

    assert same(best, weights_of(model))


def test_no_finite_loss_leaves_nothing_to_put_back():
    model = models.make("mlp")
    losses = scripted_losses(float("nan"), float("inf"))
    with agent_over(model, SGD, keep_best=True, validate=losses) as agent:
        run(agent, 3)
        agent.decide()
        before = weights_of(model)
        with pytest.raises(BadArgument, match="no validation loss was finite so far"):
            agent.restore_best()

    assert same(before, weights_of(model))


def test_without_keep_best_the_error_says_what_to_pass():
    with agent_over(models.make("mlp"), SGD) as agent:
        run(agent, 1)
        with pytest.raises(BadArgument, match="pass keep_best=True and validate"):
            agent.restore_best()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "keep_best is True and validate is None"),
        ({"lm": None, "validate": lambda model: 1.0}, "keep_best is True and lm is"),
    ],
)
def test_nothing_to_judge_by_is_a_bad_argument(options, said):
    with pytest.raises(BadArgument, match=said):
        agent_over(models.make("mlp"), SGD, keep_best=True, **options)


@executions
def test_a_run_reports_both(execution, tmp_path):
    result = CliRunner().invoke(
        app,
        [
            "run", TASK, "--keep-best", "--execution", execution,
            "--run-dir", str(tmp_path / "run"),
        ],
    )  # fmt: skip
    again = train(TASK, keep_best=True, execution=execution)

    assert 0 == result.exit_code, result.output
    assert "best validation loss" in result.output and "at the end" in result.output
    assert again.best is not None
    assert again.best.val <= min(epoch.val for epoch in again.epochs) + 1e-6
