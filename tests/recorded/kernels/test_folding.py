"""The least and the most of many elements, wherever they stand, held against torch."""

import pytest
import torch

from dux_sandbox.recorded.kernels import compiling, source
from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.program import TensorType
from tests.recorded.programs import Writing

NAN, INF = float("nan"), float("inf")


def fold_of(dtype, many):
    """The kernels of a program that keeps the most and the least of a gradient."""
    w = Writing()
    kind = TensorType(dtype, (many,))
    gradient = w.read("gradient", 0, type=kind)
    w.read("parameter", 0, type=kind)
    for name in ("amax", "amin"):
        w.write(w.do(name, gradient, dim=None, keepdim=False), "state", 0, name)
    return fuse(w.program())


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("many", [1, 2, 31, 32, 33, 100, 513, 4097])
def test_the_most_and_the_least_are_found_at_each_place(many, dtype):
    fused = fold_of(dtype, many)
    generator = torch.Generator().manual_seed(many)
    plain = torch.randn(many, generator=generator).to(getattr(torch, dtype))

    for place in sorted({0, 1 % many, many // 2, many - 1}):
        for odd in (5e4, -5e4, INF, -INF, NAN):
            values = plain.clone()
            values[place] = odd
            *_, most, least, _ = fused.run([values, torch.zeros_like(values)])

            for wanted, found in ((values.amax(), most), (values.amin(), least)):
                assert torch.equal(wanted.nan_to_num(1.5), found.nan_to_num(1.5))


@pytest.mark.parametrize("many", [1, 31, 33, 700, 4097])
def test_whether_all_are_finite_is_told_of_each_place(many):
    w = Writing()
    kind = TensorType("float32", (many,))
    gradient = w.read("gradient", 0, type=kind)
    w.read("parameter", 0, type=kind)
    finite = w.do("isfinite", gradient)
    for name, of in (("all", finite), ("any", w.do("isnan", gradient))):
        w.write(w.do(name, of, dim=None, keepdim=False), "state", 0, name)
    fused = fuse(w.program())

    for place in sorted({0, many // 3, many - 1}):
        for odd in (1.0, INF, NAN):
            values = torch.ones(many)
            values[place] = odd
            *_, whole, broken, _ = fused.run([values, torch.zeros(many)])

            assert bool(values.isfinite().all()) == bool(whole)
            assert bool(values.isnan().any()) == bool(broken)


def test_however_many_elements_are_made_at_once_a_norm_is_the_same(monkeypatch):
    many = 40_001
    w = Writing()
    kind = TensorType("float32", (many,))
    gradient = w.read("gradient", 0, type=kind)
    decayed = w.do("add", gradient, w.read("parameter", 0, type=kind), w.number(0.3))
    over = {"dim": None, "keepdim": False}
    norm = w.do("norm", decayed, w.number(2), dtype=None, **over)
    w.write(norm, "state", 0, "norm")
    w.write(w.do("amax", decayed, **over), "state", 0, "amax")
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(many, generator=generator) for _ in range(2)]

    found = []
    for piece in (128, 32, 512):
        monkeypatch.setattr(source, "_PIECE", piece)
        monkeypatch.setattr(compiling, "LOADED", {})
        found.append(fuse(w.program()).run([each.clone() for each in given])[-3:-1])

    assert found[0] == found[1] == found[2]
