"""The device and the dtype of a task: what is taken, and what is refused."""

import itertools
import warnings

import pytest
import torch

from dux_agent import attach, tasks
from dux_agent.errors import BadArgument
from dux_agent.tasks.placing import DTYPES
from tests import foreign_tasks
from tests.foreign_tasks import Line

EXECUTIONS = ("inline", "isolated")
TASKS = ("digits", "sine", "tests.foreign_tasks:build")
ABSENT = ["meta", "cuda:99", "xla", "ipu", "nonsense", "", "cpu cpu", 3.5, [1]]


def weights(task):
    return [parameter.detach().clone() for parameter in task.model.parameters()]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_and_data_have_the_dtype_that_was_asked_for(name, dtype):
    wanted = getattr(torch, dtype)

    task = tasks.build(name, seed=0, dtype=dtype)
    loss = task.objective(task.model, next(iter(task.train_batches(0))))

    assert {wanted} == {each.dtype for each in task.model.parameters()}
    assert wanted == loss.dtype
    assert torch.isfinite(torch.tensor(task.evaluate("val")))


@pytest.mark.parametrize("name", ["digits", "sine"])
def test_what_is_asked_for_and_was_so_anyway_changes_no_bit(name):
    plain = tasks.build(name, seed=1)

    asked = tasks.build(name, seed=1, device="cpu", dtype=torch.float32)

    assert all(map(torch.equal, weights(plain), weights(asked)))
    assert plain.evaluate("val") == asked.evaluate("val")


@pytest.mark.parametrize("name", ["digits", "sine"])
def test_labels_stay_whole_numbers(name):
    plain = tasks.build(name, seed=0).splits["train"][1]

    moved = tasks.build(name, seed=0, dtype="float64").splits["train"][1]

    expected = torch.float64 if plain.is_floating_point() else plain.dtype
    assert expected == moved.dtype


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_an_agent_finds_a_rule_in_another_dtype(dtype, execution):
    task = tasks.build("digits", seed=0, dtype=dtype)
    batches = itertools.cycle(task.train_batches(0))
    with attach(
        task.model, task.base_optimizer(), task.objective, execution=execution
    ) as agent:
        for batch in itertools.islice(batches, 12):
            agent.step(batch)
        decision = agent.decide()
        losses = [float(agent.step(batch)) for batch in itertools.islice(batches, 12)]

    assert "applied" == decision.verdict, decision.reason
    assert all(map(torch.isfinite, map(torch.tensor, losses)))


@pytest.mark.parametrize("device", ABSENT, ids=repr)
@pytest.mark.parametrize("name", ["sine", "tests.foreign_tasks:build"])
def test_a_device_that_holds_no_numbers_here_is_refused_in_words(name, device):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some kinds of device announce their end
        with pytest.raises(BadArgument, match="which holds no numbers here.*cpu"):
            tasks.build(name, seed=0, device=device)


@pytest.mark.parametrize("dtype", ["int32", "float8_e4m3fn", "complex64", "x", "", 64])
def test_a_dtype_that_no_weights_have_is_refused_in_words(dtype):
    with pytest.raises(BadArgument, match="one of float32, float64, bfloat16, float16"):
        tasks.build("sine", seed=0, dtype=dtype)


@pytest.mark.parametrize("place", [{"device": "cpu"}, {"dtype": "float64"}])
def test_a_task_that_takes_no_place_is_refused_one_in_words(place):
    (name,) = place

    with pytest.raises(BadArgument, match=f"takes no {name}; .*leave {name} out"):
        tasks.build("tests.foreign_tasks:of_seed_alone", seed=0, **place)


def test_a_task_that_does_not_obey_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(foreign_tasks, "build", lambda seed, **place: Line(seed))

    with pytest.raises(BadArgument, match="float64 and built weights of torch.float32"):
        tasks.build("tests.foreign_tasks:build", seed=0, dtype="float64")
