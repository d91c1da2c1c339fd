"""What is done to rows and columns of a tensor, in kernels."""

import threading
from dataclasses import replace

import pytest
import torch

from dux_sandbox.recorded.interpreting import interpret
from dux_sandbox.recorded.kernels.chains import Chain, Leaf, Link, Reduce, Store
from dux_sandbox.recorded.kernels.compiling import fuse, kernel_of
from dux_sandbox.recorded.kernels.library import BLOCK
from dux_sandbox.recorded.kernels.planning import plan_of
from dux_sandbox.recorded.kernels.proving import mismatch
from dux_sandbox.recorded.kernels.targets import CPU
from dux_sandbox.recorded.program import TensorType
from tests.recorded.programs import Writing

PLACES = ("parameter", "gradient")


def centred(*parameters, dtype="float32"):
    """Steps by the gradient less its mean over some dimensions, and by its norm.

    Args:
        parameters: the shape and these dimensions of each.
    """
    w = Writing()
    read = [
        [w.read(each, at, type=TensorType(dtype, shape)) for each in PLACES]
        for at, (shape, _) in enumerate(parameters)
    ]
    for at, ((p, g), (_, over)) in enumerate(zip(read, parameters, strict=True)):
        mean = w.do("mean", g, dim=over, keepdim=True, dtype=None)
        norm = w.do("norm", g, w.number(2), dim=over, keepdim=True, dtype=None)
        moved = w.do("div", w.do("sub", g, mean), w.do("add", norm, w.number(0.5)))
        w.write(w.do("sub", p, moved), "parameter", at)
    return w.program()


def calls_of_torch(program, target=CPU):
    """The names of what the plan of a program leaves to torch."""
    plan = plan_of(program, target)
    made = [v for stage in plan.stages for v in stage.plain]
    tensors = [v for v in made if isinstance(plan.types[v], TensorType)]
    return [plan.program.operation_of(each).name for each in tensors]


def stepped(program, seed=0, fused=fuse):
    """What kernels and the interpreter write, from the same inputs."""
    generator = torch.Generator().manual_seed(seed)
    inputs = [
        torch.randn(each.type.shape, generator=generator, dtype=torch.float64).to(
            getattr(torch, each.type.dtype)
        )
        for each in program.inputs
    ]
    wanted = interpret(program, [each.clone() for each in inputs])
    *got, _ = fused(program).run(inputs)
    wanted = [wanted[each.value] for each in program.outputs]
    return list(zip(wanted, got, strict=True))


SHAPES = [(40, 300), (8, 8), (3 * BLOCK // 100, 100), (9, BLOCK + 30)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("over", [[1], [-1], [0]])
def test_rows_and_columns_are_brought_together_in_passes(over, dtype):
    program = centred(*((shape, over) for shape in SHAPES), dtype=dtype)

    pairs = stepped(program)

    assert [] == calls_of_torch(program)
    bound = {"float32": 1e-5, "float64": 1e-12}.get(dtype, 2e-2)
    for want, made in pairs:
        torch.testing.assert_close(made, want, rtol=bound, atol=bound)


@pytest.mark.parametrize("over", [[1, 2, 3], [0], [0, 1], [2, 3]])
def test_several_dimensions_are_one_row(over):
    program = centred(((10, 16, 5, 3), over))

    ((want, made),) = stepped(program)

    torch.testing.assert_close(made, want, rtol=1e-5, atol=1e-5)
    assert [] == calls_of_torch(program)


@pytest.mark.parametrize(
    ("shape", "over"), [((64, 3), [1]), ((4, 64), [0]), ((8, 16, 32), [1])]
)
def test_what_is_no_row_or_a_short_one_is_left_to_torch(shape, over):
    program = centred((shape, over))

    ((want, made),) = stepped(program)

    torch.testing.assert_close(made, want, rtol=1e-5, atol=1e-5)
    assert {"mean", "norm"} <= set(calls_of_torch(program))


def factored(w, shape):
    """A gradient over the root of an outer product: one number for each row, and one
    for each column, which the rule keeps."""
    p, g = (w.read(each, 0, type=TensorType("float32", shape)) for each in PLACES)
    kept = [
        w.read("state", 0, name, type=TensorType("float32", (shape[at],)))
        for at, name in enumerate(("row", "column"))
    ]
    square = w.do("mul", g, g)
    sides = []
    for at, (old, name) in enumerate(zip(kept, ("row", "column"), strict=True)):
        mean = w.do("mean", square, dim=[1 - at], keepdim=False, dtype=None)
        new = w.do("lerp", old, mean, w.number(0.1))
        w.write(new, "state", 0, name)
        sides.append(w.do("unsqueeze", new, dim=1 - at))
    both = w.do("sqrt", w.do("abs", w.do("mul", *sides)))
    w.write(w.do("sub", p, w.do("div", g, both)), "parameter", 0)


@pytest.mark.parametrize("shape", [(24, 40), (32, 32)])
def test_an_outer_product_is_not_put_in_memory(shape):
    w = Writing()
    factored(w, shape)

    for want, made in stepped(w.program()):
        torch.testing.assert_close(made, want, rtol=1e-5, atol=1e-5)

    stored = [
        strand.elements
        for stage in plan_of(w.program()).stages
        for one in stage.passes
        for strand in one.strands
        for store in one.chain.stores
    ]
    assert 1 == stored.count(shape[0] * shape[1])


def test_a_row_that_is_read_and_a_row_that_is_written_are_two():
    w = Writing()
    p = w.read("parameter", 0, type=TensorType("float32", (16, 16)))
    r = w.read("state", 0, "r", type=TensorType("float32", (16,)))
    down = w.do("unsqueeze", r, dim=1)
    w.write(w.do("mul", w.do("add", p, down), r), "parameter", 0)
    w.write(w.do("mul", r, w.number(2.0)), "state", 0, "r")

    for want, made in stepped(w.program()):
        assert torch.equal(want, made)


def test_two_widths_of_what_goes_together_leave_rows_to_torch():
    w, kind = Writing(), TensorType("float32", (16, 8, 12))
    p, g = (w.read(each, 0, type=kind) for each in PLACES)
    along = {"keepdim": True, "dtype": None}
    short, long = (w.do("mean", g, dim=each, **along) for each in ([2], [1, 2]))
    moved = w.do("add", w.do("mul", g, short), long)
    w.write(w.do("sub", p, moved), "parameter", 0)

    ((want, made),) = stepped(w.program())

    assert torch.equal(want, made)
    assert ["mean", "mean", "mul", "add"] == calls_of_torch(w.program())


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_no_bit_of_rows_and_columns(threads):
    program = centred(*(((512, 640), over) for over in ([0], [1])))
    before = torch.get_num_threads()
    pairs = stepped(program)
    torch.set_num_threads(threads)
    try:
        again = stepped(program)
    finally:
        torch.set_num_threads(before)

    for (_, one), (_, other) in zip(pairs, again, strict=True):
        assert torch.equal(one, other)


OTHER = {"sum": "mean", "mean": "sum", "norm2": "amax", "amax": "amin", "amin": "amax"}


@pytest.mark.parametrize("along", ["row", "column"])
@pytest.mark.parametrize("kind", OTHER)
def test_a_kernel_that_brings_rows_together_otherwise_is_found_out(kind, along):
    chain = Chain(
        (Leaf("float32"), Leaf("float32", along=along)),
        (Link("mul", (0, 1), (), "float32", "float32"),),
        (Store(2),),
        (Reduce(2, kind, "float32", along),),
        0,
    )
    kernel = kernel_of(chain, threading.Event())
    assert mismatch(kernel) is None

    kernel.chain = replace(chain, reduces=(Reduce(2, OTHER[kind], "float32", along),))
    try:
        assert f"the {OTHER[kind]} of value 2 differs" == mismatch(kernel)
    finally:
        kernel.chain = chain


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["std", "var"])
@pytest.mark.parametrize("over", [None, [], [1], [0], [0, 1]])
@pytest.mark.parametrize("correction", [None, 0, 1])
def test_deviations_are_taken_in_passes(name, over, correction, dtype):
    w = Writing()
    p, g = (w.read(each, 0, type=TensorType(dtype, (40, 64))) for each in PLACES)
    far = w.do("add", g, w.number(100.0))
    along = {"dim": over, "keepdim": True, "correction": correction}
    w.write(w.do("sub", p, w.do("div", g, w.do(name, far, **along))), "parameter", 0)

    ((want, made),) = stepped(w.program())

    torch.testing.assert_close(made, want, rtol=1e-5, atol=1e-5)
    assert [] == calls_of_torch(w.program())


@pytest.mark.filterwarnings("ignore:std")
@pytest.mark.parametrize(("shape", "dtype"), [((1,), "float32"), ((8, 8), "bfloat16")])
def test_a_deviation_of_one_number_or_in_half_precision_is_torchs(shape, dtype):
    w = Writing()
    p = w.read("parameter", 0, type=TensorType(dtype, shape))
    deviation = w.do("std", p, dim=None, keepdim=False, correction=None)
    w.write(w.do("mul", p, deviation), "parameter", 0)

    ((want, made),) = stepped(w.program())

    assert torch.equal(want.isnan(), made.isnan())
    assert torch.equal(want.nan_to_num(), made.nan_to_num())
    assert ["std"] == calls_of_torch(w.program())


def test_a_row_that_is_made_as_large_as_all_is_not_put_in_memory():
    w = Writing()
    p, g = (w.read(each, 0, type=TensorType("float32", (40, 64))) for each in PLACES)
    norm = w.do("norm", g, w.number(2), dim=[1], keepdim=True, dtype=None)
    large = w.do("expand", norm, size=[40, 64])
    w.write(w.do("sub", p, w.do("div", g, large)), "parameter", 0)

    ((want, made),) = stepped(w.program())

    torch.testing.assert_close(made, want, rtol=1e-6, atol=1e-6)
    assert [] == calls_of_torch(w.program())
