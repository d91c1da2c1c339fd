"""Bad arguments raise at once and say what was found, what was wanted, what to do."""

import pytest
import torch

from dux_agent import attach
from dux_agent.errors import BadArgument, RunFolderExists
from tests import models
from tests.swapping import SGD
from tests.talking import scripted, sgd


def bad(**options):
    model = options.pop("model", None) or models.make("mlp")
    optimizer = options.pop("optimizer", None) or sgd(model)
    objective = options.pop("objective", models.objective)
    with pytest.raises(BadArgument) as raised:
        attach(model, optimizer, objective, **options)
    message = str(raised.value)
    assert "\n" not in message
    assert "wanted" in message or "pass one" in message
    return message


@pytest.mark.parametrize(
    "options, said",
    [
        ({"every": 0}, "every is 0; a whole number of at least 1"),
        ({"every": 2.5}, "every is 2.5"),
        ({"total_steps": -3}, "total_steps is -3"),
        ({"max_attempts": 0}, "max_attempts is 0"),
        ({"candidates": 0}, "candidates is 0"),
        ({"dry_run_steps": 0}, "dry_run_steps is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"guard_steps": -1}, "guard_steps is -1"),
        ({"steps_per_epoch": 0}, "steps_per_epoch is 0"),
        ({"accept": "always"}, "'harmless', 'finite', 'not_worse'"),
        ({"execution": "outside"}, "'auto', 'isolated', 'inline'"),
        ({"lr_owner": "me"}, "'proposal', 'scheduler'"),
        ({"history": "none"}, "'chat', 'compressed'"),
        ({"carry_over": "maybe"}, "'asked', 'always', 'never'"),
        ({"validate": 3}, "validate is a int"),
        ({"clone": 3}, "clone is a int"),
        ({"objective": None}, "objective is a NoneType"),
        ({"budget": -1}, "budget holds 'calls': -1"),
        ({"budget": "much"}, "budget is 'much'"),
        ({"budget": {"euros": 3}}, "'euros'"),
        ({"limits": {"seconds": -1}}, "Limits(seconds=-1)"),
        ({"limits": {"minutes": 1}}, "minutes"),
        ({"lm": "nobody"}, "no language model is called 'nobody'"),
        ({"lm": 7}, "lm is a int"),
        ({"fallback": "nobody"}, "no language model is called 'nobody'"),
        ({"prompts": "/nowhere/at/all"}, "is not a folder"),
    ],
)
def test_an_argument_that_cannot_be_meant_is_refused(options, said):
    assert said in bad(**options)


def test_an_optimizer_over_another_model_is_refused():
    message = bad(optimizer=sgd(models.make("mlp")))

    assert "4 of 4 parameters that are not the model's" in message


def test_a_model_without_parameters_is_refused():
    message = bad(model=torch.nn.Tanh(), optimizer=sgd(models.make("mlp")))

    assert "has no parameters" in message


def test_what_is_no_model_or_no_optimizer_is_refused():
    assert "model is a int" in bad(model=3, optimizer=sgd(models.make("mlp")))
    assert "optimizer is a int" in bad(optimizer=3)


def test_the_live_optimizer_of_another_agent_is_refused():
    model = models.make("mlp")
    with attach(model, sgd(model), models.objective) as agent:
        message = bad(model=model, optimizer=agent.optimizer)

    assert "the live optimizer of another agent" in message


def test_a_run_folder_that_exists_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    model = models.make("mlp")

    with pytest.raises(RunFolderExists, match="exists"):
        attach(model, sgd(model), models.objective, run_dir=tmp_path)

    assert ["mine.txt"] == [each.name for each in tmp_path.iterdir()]


def test_nothing_is_written_when_another_argument_is_bad(tmp_path):
    bad(run_dir=tmp_path / "run", every=0)
    bad(run_dir=tmp_path / "run", lm="nobody")

    assert [] == list(tmp_path.iterdir())


def vector(model, batch):
    return (model(batch[0]) - batch[1]).square()


def test_an_objective_that_returns_a_vector_is_refused_wherever_it_is_first_seen():
    model = models.make("mlp")
    lm = scripted(SGD)
    batch = models.batches()[0]
    with attach(model, sgd(model), vector, lm=lm) as agent:
        with pytest.raises(BadArgument, match=r"shape \(12, 1\); a scalar was wanted"):
            agent.step(batch)
        with pytest.raises(BadArgument, match=r"shape \(12, 1\)"):
            agent.observe(vector(model, batch), batch)
        with pytest.raises(BadArgument, match=r"shape \(12, 1\)"):
            agent.observe(0.5, batch)
        assert 0 == agent.step_count

    assert [] == lm.asked


def test_an_objective_that_returns_a_number_is_told_to_return_the_tensor():
    model = models.make("mlp")
    with attach(model, sgd(model), lambda net, batch: 0.5) as agent:
        with pytest.raises(BadArgument, match=r"return the loss before \.item\(\)"):
            agent.step(models.batches()[0])


def test_a_loss_that_is_no_number_is_refused():
    model = models.make("mlp")
    with attach(model, sgd(model), models.objective) as agent:
        with pytest.raises(BadArgument, match="the loss is a str"):
            agent.observe("low", None)
