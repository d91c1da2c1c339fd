"""The mirror is filled before a step and read after it; the parameters stay put."""

import itertools
import os

import pytest
import torch

from dux_sandbox.gradients import DenseGradients
from dux_sandbox.process.mirror import Mirror
from dux_sandbox.process.places import CannotMirror, lay_out
from dux_sandbox.values import ValueRefused


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


def makes(net):
    return [
        (
            id(parameter),
            parameter.data_ptr(),
            parameter.stride(),
            parameter.is_shared(),
            parameter.untyped_storage().nbytes(),
            parameter._version,
            parameter._backward_hooks,
            getattr(parameter, "_post_accumulate_grad_hooks", None),
        )
        for parameter in net.parameters()
    ]


def weight(values, **options):
    return torch.nn.Parameter(torch.tensor(values, **options))


def test_a_mirror_leaves_every_parameter_as_it_is():
    net = model()
    backward(net)
    before = makes(net)
    gradients = [parameter.grad for parameter in net.parameters()]

    mirror = Mirror(list(net.parameters()))
    mirror.copy_in()
    during = makes(net)
    mirror.close()

    assert before == during == makes(net)
    assert all(p.grad is g for p, g in zip(net.parameters(), gradients, strict=True))


def test_values_and_gradients_come_in_and_values_go_out_into_the_same_memory():
    net = model()
    backward(net)
    parameters = list(net.parameters())
    mirror = Mirror(parameters)

    present = mirror.copy_in()
    for value, gradient in zip(mirror.values, mirror.gradients, strict=True):
        value.add_(gradient)
    expected = [p.detach() + p.grad for p in parameters]
    pointers = [p.data_ptr() for p in parameters]
    mirror.copy_out()

    assert [True] * 4 == present
    assert all(map(torch.equal, expected, parameters))
    assert pointers == [p.data_ptr() for p in parameters]
    mirror.close()


@pytest.mark.parametrize("odd", [float("nan"), -0.0, float("inf"), 1e-45])
def test_whatever_bits_a_loop_writes_are_what_the_rule_finds(odd):
    one = weight([0.0, 1.0])
    mirror = Mirror([one])
    mirror.copy_in()

    one.data[0] = odd
    mirror.copy_in()

    bits = one.detach().view(torch.int32)
    assert torch.equal(bits, mirror.values[0].view(torch.int32))
    mirror.close()


def test_what_is_written_into_the_mirror_between_two_steps_is_gone():
    one = weight([1.0, 2.0])
    one.grad = torch.ones(2)
    mirror = Mirror([one])
    mirror.copy_in()
    mirror.copy_out()

    mirror.values[0].fill_(99.0)
    mirror.gradients[0].fill_(99.0)
    untouched = one.tolist()
    mirror.copy_in()

    assert [1.0, 2.0] == untouched == mirror.values[0].tolist()
    assert [1.0, 1.0] == mirror.gradients[0].tolist()
    mirror.close()


def test_an_absent_gradient_is_absent_and_its_parameter_is_not_written_to():
    used, unused = weight([1.0, 2.0]), weight([float("nan"), -0.0])
    used.grad = torch.ones(2)
    mirror = Mirror([used, unused])

    present = mirror.copy_in()
    versions = used._version, unused._version
    mirror.copy_out()

    assert [True, False] == present
    assert versions[0] < used._version
    assert versions[1] == unused._version
    mirror.close()


def test_a_rule_may_move_a_parameter_that_has_no_gradient():
    one = weight([1.0, 2.0])
    mirror = Mirror([one])
    mirror.copy_in()

    mirror.values[0].mul_(2.0)
    mirror.copy_out()

    assert [2.0, 4.0] == one.tolist()
    mirror.close()


def test_a_gradient_that_was_written_to_goes_out_in_place():
    one = weight([1.0, 2.0])
    one.grad = gradient = torch.ones(2)
    mirror = Mirror([one])
    mirror.copy_in()

    mirror.gradients[0].mul_(0.5)
    mirror.copy_gradients_out([0])

    assert one.grad is gradient
    assert [0.5, 0.5] == gradient.tolist()
    mirror.close()


@pytest.mark.parametrize("layout", ["coo", "hybrid"])
def test_a_sparse_gradient_comes_in_dense_and_stays_sparse_outside(layout):
    one = torch.nn.Parameter(torch.zeros(4, 2))
    full = torch.tensor([[0.0, 0.0], [2.0, 3.0], [0.0, 0.0], [4.0, 0.0]])
    one.grad = full.to_sparse() if layout == "coo" else full.to_sparse(1)
    sparse = one.grad
    mirror = Mirror([one])

    mirror.copy_in()
    mirror.gradients[0].mul_(0.5)
    mirror.copy_gradients_out([0])
    with DenseGradients([one]):
        here = one.grad.clone()

    assert torch.equal(full, here)
    assert torch.equal(full * 0.5, mirror.gradients[0])
    assert one.grad is sparse
    assert torch.equal(full, sparse.to_dense())
    mirror.close()


DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.complex64,
    torch.complex128,
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 3), (2, 3, 4, 5)])
def test_every_shape_and_dtype_goes_there_and_back(dtype, shape):
    one = torch.nn.Parameter(torch.randn(shape).to(dtype))
    held = one.detach().clone()
    mirror = Mirror([one])

    mirror.copy_in()
    assert torch.equal(held, mirror.values[0])
    mirror.values[0].mul_(2)
    mirror.copy_out()

    assert torch.equal(held * 2, one)
    mirror.close()


def flat_buffer():
    block = torch.arange(6.0)
    return block, [torch.nn.Parameter(block[:2]), torch.nn.Parameter(block[2:])]


def tied_by_data():
    block = torch.arange(6.0)
    return block, [torch.nn.Parameter(block), torch.nn.Parameter(block)]


def overlapping():
    block = torch.arange(6.0)
    return block, [torch.nn.Parameter(block[:4]), torch.nn.Parameter(block[2:])]


def columns():
    block = torch.arange(6.0).reshape(2, 3)
    parts = [torch.nn.Parameter(block[:, :2]), torch.nn.Parameter(block[:, 2:])]
    return block, parts


def transposed():
    block = torch.arange(6.0).reshape(2, 3)
    return block, [torch.nn.Parameter(block), torch.nn.Parameter(block.t())]


def two_dtypes():
    block = torch.arange(6.0)
    return block, [
        torch.nn.Parameter(block[1:]),
        torch.nn.Parameter(block.view(torch.bfloat16)[:4]),
    ]


def gaps():
    block = torch.arange(12.0).reshape(4, 3)
    return block, [torch.nn.Parameter(block[:, 0])]


ALIASES = [
    flat_buffer,
    tied_by_data,
    overlapping,
    columns,
    transposed,
    two_dtypes,
    gaps,
]


@pytest.mark.parametrize("alias", ALIASES)
def test_parameters_that_share_memory_share_it_in_the_mirror(alias):
    block, parameters = alias()
    here, there = block.clone(), [p.detach() for p in alias()[1]]
    mirror = Mirror(parameters)

    mirror.copy_in()
    for value, plain in zip(mirror.values, there, strict=True):
        value.mul_(2).add_(1)
        plain.mul_(2).add_(1)
        here = here if plain._base is None else plain._base
    mirror.copy_out()

    assert all(map(torch.equal, there, parameters))
    mirror.close()


@pytest.mark.parametrize("order", list(itertools.permutations(ALIASES[:5], 2)))
def test_aliases_that_come_and_go_are_followed(order):
    shapes = [p.shape for p in order[0]()[1]]
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in shapes]
    mirror = Mirror(parameters)

    for alias in order:
        given = [p.detach() for p in alias()[1]]
        if [p.shape for p in given] != shapes:
            continue
        for parameter, data in zip(parameters, given, strict=True):
            parameter.data = data
        expected = [p.detach() for p in alias()[1]]
        mirror.follow()
        mirror.copy_in()
        for value, plain in zip(mirror.values, expected, strict=True):
            value.mul_(2).add_(1)
            plain.mul_(2).add_(1)
        mirror.copy_out()

        assert all(map(torch.equal, expected, parameters))
    mirror.close()


def test_a_place_that_stays_is_not_told_again():
    parameters = [torch.nn.Parameter(torch.zeros(2, 3)) for _ in range(3)]
    mirror = Mirror(parameters)

    parameters[0].data = parameters[0].data.clone()
    same = mirror.follow()
    parameters[1].data = parameters[0].data
    tied = mirror.follow()
    parameters[2].data = torch.zeros(3, 2).t()
    turned = mirror.follow()

    assert [] == same == mirror.follow()
    assert 1 in [index for index, _ in tied]
    assert 2 in [index for index, _ in turned]
    assert mirror.values[2].stride() == parameters[2].stride()
    mirror.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.data.double(), "float64"),
        (lambda p: p.data[:1], "(1, 3)"),
        (lambda p: p.data[:1].expand(2, 3), "overlaps itself"),
    ],
)
def test_a_parameter_of_another_make_is_refused_with_its_change(change, words):
    one = torch.nn.Parameter(torch.zeros(2, 3))
    mirror = Mirror([one])

    one.data = change(one)

    with pytest.raises(ValueRefused) as caught:
        mirror.follow()
    assert "parameter 0" in str(caught.value)
    assert words in str(caught.value)
    mirror.close()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.zeros(2).expand(3, 2), "overlaps itself"),
        (torch.eye(2).to_sparse(), "sparse"),
        (torch.zeros(2, device="meta"), "meta"),
        (torch.zeros(2, dtype=torch.float8_e4m3fn), "float8"),
    ],
)
def test_what_no_child_can_be_shown_is_refused_with_what_to_do(data, words):
    parameter = torch.nn.Parameter(data, requires_grad=False)

    with pytest.raises(CannotMirror, match=words) as caught:
        Mirror([parameter])
    assert "optimizer" in str(caught.value)


def test_a_gradient_of_another_dtype_is_refused():
    one = weight([1.0])
    mirror = Mirror([one])
    one.data = one.data.double()
    one.grad = torch.ones(1, dtype=torch.float64)

    with pytest.raises(ValueRefused, match="gradient of parameter 0"):
        mirror.copy_in()
    mirror.close()


def test_places_do_not_meet_and_are_aligned():
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in (1, 0, 17, 3)]

    places, used = lay_out(parameters)

    starts = [place.at for place in places] + [place.grad_at for place in places]
    assert all(at % 64 == 0 for at in starts)
    assert used == 64 * (1 + 0 + 2 + 1) * 2


def test_a_mirror_that_rests_or_closes_gives_its_memory_back():
    one = torch.nn.Parameter(torch.ones(1 << 20))
    mirror = Mirror([one])
    mirror.copy_in()
    descriptor = mirror.descriptor

    held = os.fstat(descriptor).st_blocks
    mirror.rest()
    resting = os.fstat(descriptor).st_blocks
    mirror.copy_in()
    assert torch.equal(one, mirror.values[0])
    mirror.close()
    mirror.close()
    mirror.rest()

    assert resting < held
    with pytest.raises(OSError):
        os.fstat(descriptor)
