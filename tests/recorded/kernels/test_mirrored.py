"""A matrix times its own transpose, held against torch's product of the two."""

import pytest
import torch

from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.kernels.fusing import types_of
from dux_sandbox.recorded.kernels.mirrored import is_mirrored, mirrored
from dux_sandbox.recorded.program import TensorType
from tests.recorded.programs import Writing


@pytest.mark.parametrize("shape", [(512, 64), (701, 90)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns_first", [False, True])
def test_a_mirrored_product_is_the_product(shape, dtype, columns_first):
    drawn = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    matrix = drawn.T.contiguous().T if columns_first else drawn

    made = mirrored(matrix, matrix.T)

    wanted = drawn.double() @ drawn.double().T
    assert 1e-6 * wanted.norm() > (made - wanted).norm()
    assert made.dtype == dtype and made.is_contiguous()


def test_what_is_not_finite_is_not_finite_in_its_mirror():
    matrix = torch.ones(512, 64)
    matrix[3, 5], matrix[500, 7] = float("nan"), float("inf")

    made = mirrored(matrix, matrix.T)

    assert torch.equal(made.isfinite(), (matrix @ matrix.T).isfinite())


def product(left, right, shape=(600, 80), dtype="float32"):
    """A program of `left @ right`, of x, y and the transposes of x."""
    w = Writing()
    kind = TensorType(dtype, shape)
    values = {name: w.read("state", 0, name, type=kind) for name in ("x", "y")}
    values["x.T"] = w.do("permute", values["x"], dims=(-1, 0))
    values["turned"] = w.do("transpose", values["x"], dim0=1, dim1=0)
    values["x.T.T"] = w.do("permute", values["x.T"], dims=(1, 0))
    w.write(w.do("mm", values[left], values[right]), "state", 0, "made")
    return w.program()


@pytest.mark.parametrize(
    ("pair", "more", "expected"),
    [
        (("x", "x.T"), {}, True),
        (("x", "turned"), {}, True),
        (("x.T", "x"), {"shape": (80, 600)}, True),
        (("y", "x.T"), {}, False),
        (("x.T", "x"), {}, False),
        (("x", "x.T"), {"shape": (300, 80)}, False),
        (("x", "x"), {"shape": (600, 600)}, False),
        (("x", "x.T"), {"dtype": "bfloat16"}, False),
    ],
)
def test_products_with_the_own_transpose_are_found(pair, more, expected):
    program = product(*pair, **more)

    found = is_mirrored(program, types_of(program), program.outputs[0].value)

    assert expected is found


def test_a_program_multiplies_so():
    drawn = torch.randn(600, 80, generator=torch.Generator().manual_seed(0))

    (made, _) = fuse(product("x", "x.T")).run([drawn, torch.zeros_like(drawn)])

    assert torch.equal(made, mirrored(drawn, drawn.T))


def powers(first, second, side=512):
    """A product of two matrices by name, made of `x @ x.T`, `y @ y.T` and numbers."""
    w = Writing()
    kind = TensorType("float32", (side, side))
    x, y = (w.read("state", 0, name, type=kind) for name in "xy")
    a, b = (w.do("mm", z, w.do("permute", z, dims=(1, 0))) for z in (x, y))
    half = w.number(0.5)
    values = {
        "A": a,
        "B": b,
        "cA": w.do("mul", a, half),
        "A+cA": w.do("add", a, w.do("mul", a, half)),
        "A+B": w.do("add", a, b),
        "AA": w.do("mm", a, a),
        "|A|": w.do("abs", a),
        "A*A": w.do("mul", a, a),
        "A+c": w.do("add", a, half),
        "x": x,
    }
    w.write(w.do("mm", values[first], values[second]), "state", 0, "made")
    return w.program()


@pytest.mark.parametrize(
    ("pair", "side", "expected"),
    [
        (("A", "A"), 512, True),
        (("cA", "A"), 512, True),
        (("A+cA", "AA"), 512, True),
        (("A", "B"), 512, False),
        (("A+B", "A"), 512, False),
        (("|A|", "A"), 512, False),
        (("A*A", "A"), 512, False),
        (("A+c", "A"), 512, False),
        (("A", "x"), 512, False),
        (("A", "A"), 256, False),
    ],
)
def test_products_of_what_is_made_of_one_square_are_found(pair, side, expected):
    program = powers(*pair, side)

    found = is_mirrored(program, types_of(program), program.outputs[0].value)

    assert expected is found


@pytest.mark.parametrize("pair", [("cA", "A"), ("A+cA", "AA")])
def test_a_mirrored_power_is_the_power(pair):
    program = powers(*pair)
    inputs = list(torch.randn(2, 512, 512, generator=torch.Generator().manual_seed(0)))

    (made, _) = fuse(program).run(inputs)

    a = inputs[0].double() @ inputs[0].double().T
    values = {"A": a, "cA": a * 0.5, "A+cA": a * 1.5, "AA": a @ a}
    wanted = values[pair[0]] @ values[pair[1]]
    assert 1e-6 * wanted.norm() > (made - wanted).norm()
