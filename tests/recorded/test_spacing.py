"""Where kept tensors begin in a page."""

from contextlib import closing

import pytest
import torch

from dux_sandbox.recorded.kernels.compiler import compiler
from dux_sandbox.replaying.kept import KeptTree
from dux_sandbox.replaying.spacing import spaced
from dux_sandbox.running_rule import RuleState
from tests.recorded.test_again import give_gradients, replay_with_kernels

PAGE = 4096


def apart(one, other):
    """How far the first begins behind the second, within a page."""
    return (one.data_ptr() - other.data_ptr()) % PAGE


def parameter(dtype=torch.float32, shape=(150, 300)):
    generator = torch.Generator().manual_seed(0)
    return torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_is_kept_of_a_parameter_begins_somewhere_else_in_a_page(dtype):
    model = parameter(dtype)
    model.grad = torch.zeros_like(model)
    given = {("state", 0, name): torch.randn(150, 300).to(dtype) for name in "mvx"}

    made = spaced(given, {0: model})

    assert list(given) == list(made)
    for place, value in made.items():
        assert torch.equal(given[place], value)
        assert given[place].stride() == value.stride()
        assert value.dtype == dtype
        assert value.data_ptr() % 64 == 0
        others = [model, *(made[each] for each in made if each != place)]
        assert all(apart(value, each) >= 320 for each in [*others, model.grad])
        assert all(apart(each, value) >= 320 for each in others)


def test_what_lies_well_stays_where_it_is():
    model = parameter()
    once = spaced({("state", 0, "m"): torch.zeros(150, 300)}, {0: model})

    again = spaced(once, {0: model})

    assert all(again[place] is value for place, value in once.items())


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(300, 150),
        torch.zeros(300, 150).t(),
        torch.zeros(10),
        torch.zeros(150, 300, requires_grad=True),
        torch.zeros(150, 300, device="meta"),
        3,
    ],
    ids=["other shape", "other strides", "small", "trained", "meta", "number"],
)
def test_what_wins_nothing_stays_itself(value):
    given = {("state", 0, "m"): value, ("attribute", "n"): torch.zeros(150, 300)}

    made = spaced(given, {0: parameter()})

    assert all(made[place] is each for place, each in given.items())


def test_a_copy_of_what_is_kept_takes_no_more_than_its_values():
    model = parameter()
    kept = KeptTree([model])
    kept.take(RuleState({0: {"m": torch.ones(150, 300)}}, {}))

    copied = kept.state().state[0]["m"]

    assert torch.equal(copied, torch.ones(150, 300))
    assert copied.untyped_storage().nbytes() == 4 * 150 * 300
    assert kept.tensor_bytes == 4 * 150 * 300


@pytest.mark.skipif(compiler() is None, reason="no C compiler is here")
def test_kernels_go_on_with_tensors_that_begin_apart():
    groups = [{"params": [parameter()]}]
    with closing(replay_with_kernels(groups)) as replay:
        for _ in range(5):
            give_gradients(groups)
            replay.step(None, None)

            mean = replay.kept.values["state", 0, "mean"]
            assert 1024 <= apart(mean, groups[0]["params"][0]) <= 2048
        assert replay.taken_by is not None
