"""Parameters move into shared memory and out again without anybody noticing."""

import os

import pytest
import torch

from dux_sandbox.process.slab import CannotShare, Slab


def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3).to(memory_format=torch.channels_last),
        torch.nn.Flatten(),
        torch.nn.Linear(2 * 36, 3),
    )


def backward(net):
    torch.manual_seed(1)
    net(torch.randn(4, 1, 8, 8)).square().mean().backward()


def test_values_strides_and_identity_survive_adoption_and_release():
    net = model()
    parameters = list(net.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    strides = [parameter.stride() for parameter in parameters]
    slab = Slab(parameters)

    slab.adopt()
    adopted = [parameter.detach().clone() for parameter in parameters]
    slab.release()

    for at, parameter in enumerate(net.parameters()):
        assert parameter is parameters[at]
        assert torch.equal(before[at], adopted[at])
        assert torch.equal(before[at], parameter)
        assert strides[at] == parameter.stride()
        assert not parameter._post_accumulate_grad_hooks


def test_gradients_accumulate_in_place_and_equal_the_ordinary_ones():
    plain, shared = model(), model()
    slab = Slab(list(shared.parameters()))
    slab.adopt()
    for _ in range(2):
        plain.zero_grad()
        slab.forget_gradients()
        backward(plain)
        backward(shared)

    assert [True] * 4 == slab.gather_gradients()
    for one, other, place in zip(
        plain.parameters(), shared.parameters(), slab.gradients, strict=True
    ):
        assert other.grad is place
        assert torch.equal(one.grad, other.grad)
    slab.release()


def test_an_unreached_parameter_has_no_gradient_even_after_clipping():
    used, unused = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))
    slab = Slab([used, unused])
    slab.adopt()
    slab.forget_gradients()
    used.square().sum().backward()

    torch.nn.utils.clip_grad_norm_([used, unused], 0.1)

    assert [True, False] == slab.gather_gradients()
    slab.release()
    assert unused.grad is None


def test_a_gradient_set_by_hand_is_brought_in():
    weight = torch.nn.Parameter(torch.ones(3))
    slab = Slab([weight])
    slab.adopt()
    weight.grad = torch.full((3,), 2.0)

    assert [True] == slab.gather_gradients()
    assert torch.equal(torch.full((3,), 2.0), slab.gradients[0])
    slab.release()


def test_a_gradient_written_in_place_by_hand_counts():
    weight = torch.nn.Parameter(torch.ones(3))
    slab = Slab([weight])
    slab.adopt()
    slab.forget_gradients()
    weight.grad.add_(1.0)

    assert [True] == slab.gather_gradients()
    slab.release()


def test_parameters_that_share_memory_are_refused_with_what_to_do():
    block = torch.zeros(6)
    parameters = [torch.nn.Parameter(block[:3]), torch.nn.Parameter(block[3:])]

    with pytest.raises(CannotShare, match="execution='inline'"):
        Slab(parameters)


def test_mirrored_parameters_are_copied_in_and_out():
    block = torch.zeros(6)
    parameters = [torch.nn.Parameter(block[:3]), torch.nn.Parameter(block[3:])]
    parameters[1].grad = torch.ones(3)
    slab = Slab(parameters, mirror=True)
    slab.adopt()

    present = slab.gather_gradients()
    slab._values[1].add_(slab.gradients[1])
    slab.scatter()

    assert [False, True] == present
    assert [0.0, 0.0, 0.0, 1.0, 1.0, 1.0] == block.tolist()
    slab.release()


def test_the_last_holder_moves_the_parameters_out_and_closes_the_memory():
    weight = torch.nn.Parameter(torch.ones(3))
    slab = Slab([weight])
    slab.hold()
    slab.hold()
    slab.adopt()
    descriptor = slab.descriptor

    slab.drop()
    assert slab.adopted
    slab.drop()

    assert not slab.adopted
    with pytest.raises(OSError):
        os.fstat(descriptor)
