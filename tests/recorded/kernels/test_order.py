"""The order in which a program's kernels and torch's calls are done."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dux_sandbox.recorded.interpreting import GuardFailed, interpret
from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.kernels.planning import plan_of
from dux_sandbox.recorded.program import TensorType
from tests.recorded.programs import Writing


class Called(TorchDispatchMode):
    """The names of what torch is asked to do."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.names.append(function.overloadpacket.__name__)
        return function(*arguments, **(keywords or {}))


def products(side, many):
    """For each of `many` matrices the product with itself, three times over; and the
    number of a count."""
    w = Writing()
    kind = TensorType("float32", (side, side))
    matrices = [w.read("parameter", at, type=kind) for at in range(many)]
    count = w.read("attribute", "count", type="int")
    for at, made in enumerate(matrices):
        for _ in range(3):
            made = w.do("mul", w.do("mm", made, made), made)
        w.write(made, "parameter", at)
    return w, count


def test_a_branch_on_a_number_is_asked_before_torch_works():
    w, count = products(8, 1)
    w.guard(w.do("number.eq", w.do("number.mod", count, w.number(3)), w.number(0)))
    weights = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    fused = fuse(w.program())

    with Called() as called, pytest.raises(GuardFailed):
        fused.run([weights, 7])

    assert "mm" not in called.names


def test_a_branch_on_a_tensor_is_told_in_the_order_of_the_rule():
    w, count = products(8, 1)
    total = w.do("item", w.do("sum", 0, dim=None, keepdim=False, dtype=None))
    w.guard(w.do("number.gt", total, w.number(0.0)))
    w.guard(w.do("number.eq", count, w.number(0)))

    with pytest.raises(GuardFailed) as told:
        fuse(w.program()).run([-torch.ones(8, 8), 7])

    assert 0 == told.value.index


@pytest.mark.parametrize(("side", "apart"), [(256, True), (8, False)])
def test_large_matrices_are_worked_on_one_parameter_after_the_other(side, apart):
    w, _ = products(side, 3)

    stages = plan_of(w.program()).stages

    in_turn = [value for stage in stages for value in stage.plain]
    assert apart == (sorted(in_turn) == in_turn)
    assert 9 == len(in_turn)


@pytest.mark.parametrize("turns", [1, 2])
def test_a_view_is_read_as_it_was_before_its_tensor_is_written(turns):
    w = Writing()
    kind = TensorType("float32", (6, 6))
    one, other = (w.read("parameter", at, type=kind) for at in range(2))
    seen = one
    for _ in range(turns):
        seen = w.do("transpose", seen, dim0=0, dim1=1)
    w.write(w.do("add", one, other), "parameter", 0)
    w.write(w.do("mul", seen, other), "parameter", 1)
    drawn = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0))
    inputs = list(drawn.clone())
    wanted = interpret(w.program(), list(drawn))

    fuse(w.program()).run(inputs)

    for output, got in zip(w.program().outputs, inputs, strict=True):
        assert torch.equal(wanted[output.value], got)


def trusting(*sizes, of_all=False):
    """Each parameter moves by its gradient, in proportion to norms of its own, or of
    all gradients together."""
    w = Writing()
    kinds = [TensorType("float32", (each,)) for each in sizes]
    places = [
        (w.read("parameter", at, type=kind), w.read("gradient", at, type=kind))
        for at, kind in enumerate(kinds)
    ]
    two = w.number(2)
    along = {"dim": None, "keepdim": False, "dtype": None}
    norms = [w.do("norm", g, two, **along) for _, g in places]
    for norm in norms[1:] if of_all else []:
        norms = [w.do("add", norms[0], norm)] * len(norms)
    for at, (p, g) in enumerate(places):
        part = w.do("div", w.do("norm", p, two, **along), norms[at])
        w.write(w.do("sub", p, w.do("mul", g, part)), "parameter", at)
    return w.program()


@pytest.mark.parametrize("of_all", [False, True])
def test_what_is_read_for_a_tensor_alone_is_read_just_before_it_is_written(of_all):
    program = trusting(1 << 19, 1 << 19, 1 << 18, 300, 7, of_all=of_all)
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(each.type.shape, generator=generator) for each in program.inputs
    ]
    wanted = interpret(program, [each.clone() for each in inputs])

    fuse(program).run(inputs)

    last = plan_of(program).stages[-1].passes
    assert of_all != any(each.chain.reduces for each in last)
    for output, got in zip(program.outputs, inputs[::2], strict=True):
        want = wanted[output.value]
        atol = 1e-6 * float(want.abs().max())
        torch.testing.assert_close(got, want, rtol=1e-6, atol=atol)


ALONG = {"dim": None, "keepdim": False}


def finite_and_alike(w, p, g):
    """A guard that a gradient is finite; then its direction beside the weights'."""
    size = w.do("abs", g)
    sound = w.do("mul", w.do("eq", g, g), w.do("ne", size, w.number(float("inf"))))
    w.guard(w.do("item", w.do("all", sound, **ALONG)))
    flat = [w.do("reshape", each, shape=[48]) for each in (p, g)]
    sizes = [w.do("norm", each, w.number(2), **ALONG, dtype=None) for each in flat]
    alike = w.do("div", w.do("div", w.do("dot", *flat), sizes[0]), sizes[1])
    moved = w.do("reshape", w.do("mul", flat[1], alike), shape=[6, 8])
    w.write(w.do("sub", p, moved), "parameter", 0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_what_is_asked_of_a_gradient_in_another_shape_is_asked_in_passes(dtype):
    w, kind = Writing(), TensorType(dtype, (6, 8))
    finite_and_alike(
        w, *(w.read(each, 0, type=kind) for each in ("parameter", "gradient"))
    )
    program = w.program()
    fused = fuse(program)
    drawn = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    inputs = list(drawn.to(getattr(torch, dtype)))
    wanted = interpret(program, [each.clone() for each in inputs])

    with Called() as called:
        got, _ = fused.run(inputs)

    is_whole = dtype != "bfloat16"  # a product of two elements is rounded there
    assert is_whole != ("dot" in called.names)
    assert not {"mul", "all", "view", "clone"} & set(called.names) or not is_whole
    want = wanted[program.outputs[0].value]
    torch.testing.assert_close(got, want, rtol=1e-6 if is_whole else 1e-2, atol=1e-7)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_element_that_is_not_finite_fails_a_guard_of_all(bad):
    w, kind = Writing(), TensorType("float32", (6, 8))
    finite_and_alike(
        w, *(w.read(each, 0, type=kind) for each in ("parameter", "gradient"))
    )
    inputs = list(torch.ones(2, 6, 8))
    inputs[1][5, 7] = bad

    with pytest.raises(GuardFailed):
        fuse(w.program()).run(inputs)

    assert torch.equal(torch.ones(6, 8), inputs[0])


def test_another_shape_that_torch_works_on_is_a_view_of_its_memory():
    w, kind = Writing(), TensorType("float32", (6, 8))
    p = w.read("parameter", 0, type=kind)
    g = w.read("gradient", 0, type=TensorType("float32", (6, 4, 2)))
    matrix = w.do("reshape", g, shape=[6, 8])
    turned = w.do("transpose", matrix, dim0=0, dim1=1)
    w.write(w.do("sub", p, w.do("mm", w.do("mm", matrix, turned), p)), "parameter", 0)
    inputs, fused = [torch.ones(6, 8), torch.ones(6, 4, 2)], fuse(w.program())

    with Called() as called:
        fused.run(inputs)

    assert "clone" not in called.names
    assert torch.equal(torch.full((6, 8), 1.0 - 8 * 6), inputs[0])


def test_nothing_is_copied_but_what_the_step_writes_over():
    w = Writing()
    ring = w.read("state", 0, "ring", type=TensorType("float32", (3, 12)))
    p, g = w.read("parameter", 0), w.read("gradient", 0)
    row, of = w.do("reshape", g, shape=[12]), w.do("reshape", p, shape=[12])
    kept = w.do("select_scatter", ring, row, dim=0, index=1)
    update = w.do("mul", w.do("mv", kept, row), w.number(0.1))
    size = w.do("add", w.do("mv", kept, of), update)
    w.write(w.do("add", size, w.number(1.0)), "state", 0, "sizes")
    w.write(w.do("sub", p, w.number(0.5)), "parameter", 0)
    w.write(kept, "state", 0, "ring")
    w.write(w.do("abs", row), "state", 0, "last")
    w.write(w.do("abs", of), "state", 0, "before")
    fused = fuse(w.program())
    inputs = [torch.randn(3, 12), torch.randn(4, 3), torch.randn(4, 3)]
    wanted = interpret(w.program(), [each.clone() for each in inputs])

    with Called() as called:
        got = fused.run(inputs)

    # The weights' row, of which what it was before is kept.
    assert 1 == called.names.count("clone")
    for output, found in zip(w.program().outputs, got[:-1], strict=True):
        assert torch.equal(wanted[output.value], found)


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin"])
@pytest.mark.parametrize(("many", "dim"), [(2, 0), (3, -1), (7, 1)])
def test_what_is_brought_together_of_a_stack_is_not_stacked(name, many, dim):
    w = Writing()
    kept = [w.read("state", 0, str(at)) for at in range(many)]
    more = {} if name.startswith("a") else {"dtype": None}
    stack = w.do("stack", *kept, dim=dim)
    one = w.do(name, stack, dim=[dim], keepdim=False, **more)
    w.write(w.do("mul", one, w.number(0.5)), "parameter", 0)
    fused = fuse(w.program())
    inputs = [torch.randn(4, 3) for _ in range(many)]
    inputs[0][0, 0], inputs[1][0, 1] = -0.0, torch.nan
    wanted = interpret(w.program(), inputs)[-1]

    with Called() as called:
        got, _ = fused.run(inputs)

    assert "stack" not in called.names
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-7, equal_nan=True)
    if many <= 4:
        assert torch.equal(got.nan_to_num(9.0), wanted.nan_to_num(9.0))


def test_what_is_brought_together_of_a_stack_in_another_way_is_torchs():
    w = Writing()
    kept = [w.read("state", 0, str(at)) for at in range(3)]
    stack = w.do("stack", *kept, dim=0)
    over = {"keepdim": False, "dtype": None}
    w.write(w.do("mean", stack, dim=[0, 1], **over), "state", 0, "columns")
    w.write(w.do("sum", stack, dim=None, **over), "state", 0, "all")
    w.write(w.do("sum", stack, dim=[0], keepdim=True, dtype=None), "state", 0, "one")
    inputs = [torch.randn(4, 3) for _ in range(3)]
    wanted = interpret(w.program(), inputs)

    got = fuse(w.program()).run(inputs)

    for output, found in zip(w.program().outputs, got[:-1], strict=True):
        torch.testing.assert_close(found, wanted[output.value])
