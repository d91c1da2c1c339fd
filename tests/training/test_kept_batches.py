"""Batches of a checkpoint are back where they were, wherever it was read to."""

import pytest
import torch

from dux_agent.training.kept_batches import placed, places_of

HOME, HOST = torch.device("meta"), torch.device("cpu")  # a device that needs none


def batches_on(first, second):
    one = {"inputs": torch.ones(3, 2, device=first), "names": ["a"], "rows": 3}
    return [one, (torch.ones(2, device=first), [torch.ones(2, device=second), None])]


def devices(batches):
    (one, (other, (last, _))) = batches
    return [each.device for each in (one["inputs"], other, last)]


@pytest.mark.parametrize("read_to", [HOST, HOME], ids=["the host", "the device"])
def test_what_was_with_the_weights_is_with_them_again(read_to):
    places = places_of(batches_on(HOME, HOST), HOME)

    batches = batches_on(read_to, read_to)
    if read_to == HOME:  # its values cannot be had back from this one
        batches[1][1][0] = torch.ones(2)
    found = placed(batches, places, HOME)

    assert [HOME, HOME, HOST] == devices(found)
    assert (["a"], 3) == (found[0]["names"], found[0]["rows"])


def test_they_follow_the_weights_to_another_device():
    places = places_of(batches_on(HOME, HOST), HOME)

    assert [HOST] * 3 == devices(placed(batches_on(HOST, HOST), places, HOST))


def test_what_was_on_a_third_device_stays_where_it_is():
    places = places_of(batches_on(HOST, HOME), torch.device("cuda", 0))

    found = placed(batches_on(HOST, HOME), places, HOST)

    assert [HOST, HOST, HOME] == devices(found)


def test_more_tensors_than_were_saved_are_damage():
    with pytest.raises(IndexError):
        placed([torch.ones(1), torch.ones(1)], ["weights"], HOST)
