"""Every global generator is taken, put back, written down and read again."""

import json
import random
import struct

import numpy
import pytest
import torch

from dux_sandbox.random_state import (
    RandomState,
    random_numbers_kept,
    same_random_numbers,
    seed_all,
)
from tests.states import ROADS, through_torch


def draw():
    """Some numbers of every generator; the odd ones leave a half in store."""
    return (
        torch.rand(3).tolist(),
        [random.random(), random.gauss(0, 1), random.getrandbits(7)],
        [numpy.random.rand(), numpy.random.randn(), numpy.random.randint(9)],
    )


@pytest.fixture(params=["MT19937", "PCG64", "Philox", "SFC64"])
def bits(request):
    """NumPy's functions draw from another kind of generator."""
    before = numpy.random.get_bit_generator()
    numpy.random.set_bit_generator(getattr(numpy.random, request.param)(5))
    yield request.param
    numpy.random.set_bit_generator(before)


def test_what_was_drawn_since_is_drawn_again_after_a_restore(bits):
    draw()
    state = RandomState.take()
    drawn = draw()

    state.restore()

    assert drawn == draw()


@pytest.mark.parametrize("road", list(ROADS))
def test_a_state_goes_through_every_road_that_a_checkpoint_takes(bits, road):
    draw()
    state = RandomState.take()
    drawn = draw()

    RandomState.of(ROADS[road](state.state_dict())).restore()

    assert drawn == draw()


def test_a_state_comes_back_where_another_kind_of_generator_was_put_since(bits):
    state = RandomState.take()
    drawn = draw()
    numpy.random.set_bit_generator(numpy.random.PCG64DXSM())

    state.restore()

    assert drawn == draw()


def test_the_state_is_texts_and_torchs_own_tensors_and_small():
    packed = RandomState.take().state_dict()

    tensors = [each for each in packed.values() if isinstance(each, torch.Tensor)]
    texts = [each for each in packed.values() if isinstance(each, str)]

    assert len(packed) == len(tensors) + len(texts)
    assert sum(each.nbytes for each in tensors) + sum(map(len, texts)) < 20_000


def test_a_state_of_torchs_generators_alone_leaves_the_others_alone():
    packed = {"cpu": torch.get_rng_state(), "cuda": []}
    drawn = torch.rand(3)
    random.seed(3)
    numpy.random.seed(3)
    expected = random.Random(3).random(), numpy.random.RandomState(3).rand()

    RandomState.of(packed).restore()

    assert torch.equal(drawn, torch.rand(3))
    assert expected == (random.random(), numpy.random.rand())


def test_a_generator_that_was_not_there_at_the_taking_is_left_alone():
    taken = RandomState.take()
    without = RandomState(taken.cpu, {}, taken.python, None)  # NumPy came later
    numpy.random.seed(4)

    without.restore()

    assert numpy.random.RandomState(4).rand() == numpy.random.rand()


def beyond(bits, **places):
    """A state of NumPy's from which its next number would be read outside of it."""
    state = numpy.random.RandomState(getattr(numpy.random, bits)(5)).get_state(False)
    inner = state["state"] if "pos" in places else state
    inner |= places
    packed = RandomState(None, {}, None, state).state_dict()
    return {"numpy": packed["numpy"]}


def torchs_beyond(left, place):
    """The same of torch's: so many words are left, from that one on."""
    state = torch.Generator().manual_seed(0).get_state()
    state[8:24] = torch.tensor(list(struct.pack("<iiQ", left, 1, place)))
    return {"cpu": state}


@pytest.mark.parametrize(
    "damage",
    [
        {"cpu": torch.zeros(3, dtype=torch.uint8)},
        {"cpu": torch.zeros(5056)},
        {"cpu": "a text"},
        {"python": "[3, [1, 2], null]"},
        {"python": "no json"},
        {"python": json.dumps([3, ["x"] * 625, None])},
        {"numpy": '{"bit_generator": "seed"}'},
        {"numpy": '{"bit_generator": "MT19937", "state": {"key": 1, "pos": 2}}'},
        {"numpy": "[]"},
        {"cuda": [1, 2]},
        torchs_beyond(624, 2),
        torchs_beyond(624, 624),
        beyond("MT19937", pos=625),
        beyond("MT19937", pos=600_000),
        beyond("MT19937", pos=-1),
        beyond("Philox", buffer_pos=-50_000_000),
    ],
)
def test_a_damaged_state_is_refused_and_nothing_changes(damage):
    packed = {**RandomState.take().state_dict(), **damage}
    before = RandomState.take()
    expected = draw()
    before.restore()

    with pytest.raises(ValueError, match="random numbers cannot be read"):
        RandomState.of(packed)

    assert expected == draw()


def test_what_is_seeded_and_drawn_inside_is_over_afterwards_also_after_an_error():
    before = RandomState.take()
    expected = draw()
    before.restore()

    with pytest.raises(ZeroDivisionError), random_numbers_kept():
        seed_all(1)
        draw()
        raise ZeroDivisionError

    assert expected == draw()


def test_the_same_seed_gives_the_same_numbers_of_every_generator():
    with same_random_numbers((1 << 32) + 5):
        first = draw()
    with same_random_numbers((1 << 32) + 5):
        again = draw()

    assert first == again
    assert not set(map(str, first)) & set(map(str, draw()))


class Accelerator:
    """Stands for `torch.xpu`: devices with generators of their own."""

    def __init__(self, devices, started=True):
        self.generators = [torch.Generator().manual_seed(0) for _ in range(devices)]
        self.started = started

    def is_initialized(self):
        return self.started

    def device_count(self):
        return len(self.generators)

    def get_rng_state_all(self):
        assert self.started, "asking starts it"
        return [each.get_state() for each in self.generators]

    def set_rng_state_all(self, states):
        assert self.started, "asking starts it"
        for index, state in enumerate(states):
            self.generators[index].set_state(state)

    def manual_seed_all(self, seed):
        assert self.started, "asking starts it"
        for each in self.generators:
            each.manual_seed(seed)

    def draw(self):
        return [torch.rand(2, generator=each).tolist() for each in self.generators]


def test_every_device_of_an_accelerator_in_use_is_put_back(monkeypatch):
    monkeypatch.setattr(torch, "xpu", Accelerator(2))
    state = RandomState.take()
    drawn = torch.xpu.draw()

    RandomState.of(through_torch(state.state_dict())).restore()

    assert drawn == torch.xpu.draw()


def test_an_accelerator_that_nobody_uses_is_not_asked(monkeypatch):
    monkeypatch.setattr(torch, "xpu", Accelerator(1, started=False))

    with same_random_numbers(3):
        draw()

    assert "xpu" not in RandomState.take().accelerators


def test_a_state_of_more_devices_than_there_are_is_put_back_as_far_as_it_goes(
    monkeypatch,
):
    monkeypatch.setattr(torch, "xpu", Accelerator(2))
    state = RandomState.take()
    drawn = torch.xpu.draw()
    monkeypatch.setattr(torch, "xpu", Accelerator(1))
    torch.xpu.draw()

    state.restore()

    assert drawn[:1] == torch.xpu.draw()


def test_an_accelerator_that_was_started_since_gets_torchs_seed(monkeypatch):
    torch.manual_seed(11)
    monkeypatch.setattr(torch, "xpu", Accelerator(1, started=False))
    expected = torch.rand(2, generator=torch.Generator().manual_seed(11)).tolist()

    with same_random_numbers(3):
        torch.xpu.started = True
        torch.xpu.draw()

    assert [expected] == torch.xpu.draw()
