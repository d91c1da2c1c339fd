"""Draws that go on from a state that was just drawn from, and from any other."""

import pytest
import torch

from dux_sandbox.recorded.operations import TABLE


def drawn(state, name="drawn"):
    if name == "permuted":
        return TABLE[name].meaning(state, n=9, dtype=torch.int64, device="cpu")
    if name == "chosen":
        return TABLE[name].meaning(state, torch.full((9,), 0.5), device="cpu")
    given = {"size": [9], "dtype": torch.float32, "device": "cpu"}
    return TABLE[name].meaning(state, 0.0, 1.0, kind="uniform", **given)


@pytest.mark.parametrize("name", ["drawn", "permuted", "chosen"])
def test_a_state_gives_the_same_numbers_whenever_it_is_drawn_from(name):
    begun = torch.Generator().manual_seed(3).get_state()
    one, after = drawn(begun, name)
    wanted, _ = drawn(after.clone(), name)

    found, further = drawn(after, name)
    again, _ = drawn(after, name)
    beyond, _ = drawn(further.clone(), name)

    assert torch.equal(one, drawn(begun, name)[0])
    assert torch.equal(wanted, found)
    assert torch.equal(wanted, again)
    assert torch.equal(beyond, drawn(further, name)[0])
    assert not torch.equal(wanted, one)


def test_a_state_that_was_written_to_is_another_one():
    begun = torch.Generator().manual_seed(3).get_state()
    other = torch.Generator().manual_seed(4).get_state()
    _, after = drawn(begun)

    after.copy_(other)

    assert torch.equal(drawn(other.clone())[0], drawn(after)[0])
    after.fill_(7)
    with pytest.raises((ValueError, RuntimeError)):
        drawn(after)
