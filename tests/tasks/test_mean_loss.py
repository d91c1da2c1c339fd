"""A validation loss that knows its standard error, on its way to the prompt."""

import copy
import math
import pickle

import pytest

from dux_agent import tasks
from dux_agent.tasks.mean_loss import MeanLoss, standard_error
from tests import models
from tests.swapping import SGD
from tests.talking import agent_over, run, scripted


def test_the_error_of_a_mean_is_that_of_its_batches():
    loss = MeanLoss.of([1.0, 2.0, 3.0])

    assert 2.0 == loss
    assert math.isclose(1 / math.sqrt(3), loss.standard_error)


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_too_few_batches_tell_no_error(losses):
    assert standard_error(losses) is None


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_copy_has_the_same_error(copied):
    assert 0.25 == copied(MeanLoss(1.0, 0.25)).standard_error


def test_a_task_with_several_batches_of_validation_tells_the_error():
    task = tasks.build("digits", 0)
    whole = task.evaluate("val")

    task.evaluation_batch = 60
    pieces = task.evaluate("val")

    assert whole.standard_error is None
    assert math.isclose(whole, pieces, rel_tol=1e-5)
    assert 0 < pieces.standard_error < pieces


@pytest.mark.parametrize(
    ("loss", "said"),
    [(MeanLoss(0.5, 0.0625), "0.0625"), (MeanLoss(0.5), ""), (0.5, "")],
)
def test_the_prompt_says_how_noisy_validation_is_where_that_is_known(loss, said):
    lm = scripted(SGD)
    with agent_over(models.make("mlp"), lm=lm, validate=lambda model: loss) as agent:
        run(agent, 4)
        agent.decide()

    prompt = lm.asked[0][-1].content

    assert ("standard error of the last one" in prompt) == bool(said)
    assert said in prompt
    assert "4: 0.5" in prompt
