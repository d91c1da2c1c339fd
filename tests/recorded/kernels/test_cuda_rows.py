"""Rows and columns in the text of CUDA's kernels, compiled for the processor."""

import pytest
import torch

from dux_sandbox.recorded.interpreting import interpret
from dux_sandbox.recorded.kernels.chains import Chain, Leaf, Link, Reduce, Store
from dux_sandbox.recorded.kernels.cuda.tiles import tiles_of
from dux_sandbox.recorded.kernels.proving import mismatch
from dux_sandbox.recorded.program import TensorType
from tests.recorded.kernels.cuda_here import HERE, fused_here, kernel_here
from tests.recorded.kernels.test_rows import (
    OTHER,
    PLACES,
    calls_of_torch,
    centred,
    factored,
    stepped,
)
from tests.recorded.programs import Writing

# Tiles beside each other and below, rows of no multiple of four, and a last one of two.
SHAPES = [(70, 300), (8, 8), (300, 130), (9, 1027), (1030, 10)]
BOUND = {"float32": 1e-5, "float64": 1e-12, "bfloat16": 2e-2, "float16": 2e-2}


@pytest.fixture
def here(tmp_path):
    return lambda program: fused_here(program, tmp_path)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("over", [[1], [0]])
def test_rows_and_columns_are_brought_together_in_tiles(over, dtype, here):
    program = centred(*((shape, over) for shape in SHAPES), dtype=dtype)

    pairs = stepped(program, fused=here)

    assert [] == calls_of_torch(program, HERE)
    for want, made in pairs:
        torch.testing.assert_close(made, want, rtol=BOUND[dtype], atol=BOUND[dtype])


@pytest.mark.parametrize("over", [[1, 2, 3], [0], [0, 1], [2, 3]])
def test_several_dimensions_are_one_row(over, here):
    program = centred(((10, 16, 5, 3), over))

    ((want, made),) = stepped(program, fused=here)

    torch.testing.assert_close(made, want, rtol=1e-5, atol=1e-5)
    assert [] == calls_of_torch(program, HERE)


@pytest.mark.parametrize("shape", [(24, 40), (32, 32), (150, 270)])
def test_an_outer_product_takes_a_number_of_each_row_and_of_each_column(shape, here):
    w = Writing()
    factored(w, shape)

    for want, made in stepped(w.program(), fused=here):
        # Some are divided by the root of a number near zero.
        torch.testing.assert_close(made, want, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["std", "var"])
@pytest.mark.parametrize("over", [[1], [0]])
def test_deviations_are_taken_in_tiles(name, over, here):
    w = Writing()
    p, g = (w.read(each, 0, type=TensorType("float32", (40, 64))) for each in PLACES)
    along = {"dim": over, "keepdim": True, "correction": 1}
    w.write(w.do("div", g, w.do(name, w.do("add", g, p), **along)), "parameter", 0)

    ((want, made),) = stepped(w.program(), fused=here)

    torch.testing.assert_close(made, want, rtol=1e-5, atol=1e-5)
    assert [] == calls_of_torch(w.program(), HERE)


def chain_of(kind, along):
    """A reduction beside one of all elements, and a store, of what goes with rows."""
    return Chain(
        (Leaf("float32"), Leaf("float32", along=along), Leaf("float32", single=True)),
        (
            Link("mul", (0, 1), (), "float32", "float32"),
            Link("add", (3, 2), (), "float32", "float32"),
        ),
        (Store(4, leaf=0),),
        (Reduce(3, kind, "float32", along), Reduce(4, "sum", "float32")),
        0,
    )


@pytest.mark.parametrize("along", ["row", "column"])
@pytest.mark.parametrize("kind", OTHER)
def test_a_kernel_that_brings_rows_together_otherwise_is_found_out(
    kind, along, tmp_path
):
    kernel = kernel_here(chain_of(kind, along), tmp_path)
    assert mismatch(kernel) is None

    kernel.chain = chain_of(OTHER[kind], along)

    assert f"the {OTHER[kind]} of value 3 differs" == mismatch(kernel)


@pytest.mark.parametrize("along", ["row", "column", None])
def test_tiles_cover_every_element_once(along):
    elements, widths = [300 * 130, 64, 8 * 5000, 70_000 * 12], [130, 8, 5000, 12]
    chain = chain_of("sum", along)

    tiles = tiles_of(chain, elements, widths)

    for at, each in enumerate(tiles):
        met = torch.zeros(each.rows, each.width)
        for x, y in each.places:
            rows = slice(y * each.tall, (y + 1) * each.tall)
            met[rows, x * each.lanes * 4 : (x + 1) * each.lanes * 4] += 1
        assert bool((met == 1).all())
        assert each.room == sum(one.parts(chain) for one in tiles[:at])


def test_elements_around_a_tensor_are_left_alone(tmp_path):
    """Rows of 130, in a launch whose threads take four, amid other memory."""
    program = centred(((33, 130), [1]), ((12, 9), [0]))
    wanted, inputs, around = [], [], []
    generator = torch.Generator().manual_seed(1)
    for at, each in enumerate(program.inputs):
        many = each.type.elements
        memory = torch.full((many + 300,), 7.0)
        tensor = memory[100 + at : 100 + at + many].view(each.type.shape)
        tensor.copy_(torch.randn(each.type.shape, generator=generator))
        inputs.append(tensor)
        wanted.append(tensor.clone())
        around += [memory[: 100 + at], memory[100 + at + many :]]

    fused_here(program, tmp_path).run(inputs)
    fused_here(program, tmp_path).run(wanted)

    assert all(map(torch.equal, wanted, inputs))
    assert all(bool((each == 7.0).all()) for each in around)


def test_what_is_not_finite_is_told_where_threads_have_no_row(tmp_path):
    """All but one step of 9 rows of 12 are finite; 1021 threads have none of them."""
    program, told = centred(((9, 12), [1])), []
    fused = fused_here(program, tmp_path)

    for size in (1.0, float("nan"), 1.0):
        inputs = [torch.ones(9, 12), torch.linspace(1, 2, 108).view(9, 12)]
        inputs[0][8, 11] = size
        fused.run(inputs)
        told.append(bool(fused.finite))

    assert [True, False, True] == told


def test_a_step_is_that_of_the_interpreter_with_rows_that_the_rule_keeps(here):
    """One tensor for each row is read and written beside the weights it goes with."""
    w = Writing()
    p = w.read("parameter", 0, type=TensorType("float32", (16, 16)))
    r = w.read("state", 0, "r", type=TensorType("float32", (16,)))
    down = w.do("unsqueeze", r, dim=1)
    w.write(w.do("mul", w.do("add", p, down), r), "parameter", 0)
    w.write(w.do("mul", r, w.number(2.0)), "state", 0, "r")
    inputs = [torch.randn(16, 16), torch.randn(16)]
    wanted = interpret(w.program(), [each.clone() for each in inputs])

    got = here(w.program()).run(inputs)

    for output, made in zip(w.outputs, got, strict=False):
        assert torch.equal(wanted[output.value], made)
