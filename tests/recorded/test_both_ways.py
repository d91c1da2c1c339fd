"""Branches that go another way for each parameter: one program takes them all."""

from contextlib import ExitStack, closing
from dataclasses import replace

import pytest
import torch

from dux_sandbox.recorded.json_form import ProgramRefused
from dux_sandbox.recorded.kernels.compiler import compiler
from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.verifying import verify
from dux_sandbox.replaying.replay import Replay
from tests.recorded.programs import Writing, allowed_for
from tests.recorded.recording import BOUNDS, Here, replay_of, twin_of
from tests.recorded.test_recording import groups_of, parameters_in, steps_beside
from tests.sources import with_step

SHAPES = [(6, 5), (4,), (30,), (3, 3), (2, 7)]


def each_parameter(body, start=""):
    """A rule that does this with `p`, its gradient `g` and its `state`."""
    lines = "".join(f"                {line}\n" for line in body.splitlines())
    return with_step(
        f"""\
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g, state = p.grad, self.state[p]
                if "m" not in state:
                    state["m"] = torch.zeros_like(p)
                    state["norm"], state["met"] = 1.0, 0
{lines}""",
        start,
    )


CLIP = """\
norm = g.norm()
if norm > 0.4:
    g = g / norm
p.sub_(0.1 * g)"""
CLAMP = """\
weight, size = p.norm().item(), g.norm().item()
if weight > 0 and size > 0:
    ratio = weight / size
    if ratio > 2.0:
        ratio = 2.0
    elif ratio < 0.5:
        ratio = 0.5
else:
    ratio = 1.0
p.sub_(g, alpha=0.01 * ratio)"""
SKIP = """\
if g.abs().max() > 0.2:
    continue
state["m"].mul_(0.9).add_(g)
p.sub_(state["m"] * 0.1)"""
COUNT = """\
if (g * state["m"]).sum() < 0:
    state["m"].zero_()
    state["met"] += 1
    if state["met"] > 3:
        p.mul_(0.99)
state["m"].add_(g)
p.sub_(state["m"], alpha=0.01)"""
KEEP = """\
size = float(g.norm())
scale = 1.0
if float(g.sum()) > 0.1 * state["norm"]:
    scale = state["norm"] / size
state["norm"] = 0.9 * state["norm"] + 0.1 * size
p.sub_(g, alpha=0.01 * scale)"""
LOOP = """\
for at in range(3):
    if g.select(0, at % g.shape[0]).sum() > 0.05:
        p.sub_(0.1 * at * g)
        break
else:
    p.add_(g)"""
BODIES = dict(clip=CLIP, clamp=CLAMP, skip=SKIP, count=COUNT, keep=KEEP, loop=LOOP)


def is_merged(program):
    return any(each.name.endswith("pick") for each in program.operations)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_branch_for_each_parameter_is_recorded_both_ways(body):
    source = each_parameter(body)

    replay, here, rule, pairs = steps_beside(source, 60, groups_of(SHAPES))

    assert any(map(is_merged, here.programs))
    assert replay.recordings <= 12
    for one, other in pairs:
        assert torch.equal(other, one)
    kept = replay.kept.state().state
    for index, state in rule.snapshot().state.items():
        for name, value in state.items():
            mine = kept[index][name]
            assert torch.equal(torch.as_tensor(mine), torch.as_tensor(value))


@pytest.mark.parametrize(
    "body",
    [
        CLIP.replace("g = g / norm", "g = g / norm; self.n = self.n + 1"),
        CLIP.replace("g = g / norm", "g = g / norm; self.n = self.n + float(norm)"),
        CLIP.replace("g = g / norm", "g = g / norm; group['lr'] = group['lr'] * 0.9"),
        "if g.norm() > self.n:\n    self.n = 0.9 * float(g.norm())\np.sub_(g)",
        CLIP.replace("g = g / norm", "g = torch.linalg.inv(g.T @ g + norm)[0, 0] * g"),
        CLIP + "\nself.n = self.n * 0.5 + float(g.sum())",
    ],
    ids=["count", "number", "option", "next", "inverse", "sum"],
)
def test_what_hangs_on_the_branches_of_others_is_recorded_one_way_each(body):
    source = each_parameter(body, "        self.n = 0")
    shapes = [(6, 5), (3, 3)]

    _, here, _, pairs = steps_beside(source, 30, groups_of(shapes))

    assert not any(map(is_merged, here.programs))
    for one, other in pairs:
        assert torch.equal(other, one)


def test_a_branch_that_hangs_on_what_is_computed_of_all_is_two_programs():
    source = each_parameter("p.sub_(0.1 * g * scale)").replace(
        "        for group in",
        """\
        total = sum(p.grad.norm() for g in self.param_groups for p in g["params"])
        scale = 1.0
        if total > 4:
            scale = 4 / total
        for group in""",
        1,
    )

    replay, here, _, pairs = steps_beside(source, 20, groups_of(SHAPES))

    assert not any(map(is_merged, here.programs))
    assert replay.recordings <= 4
    for one, other in pairs:
        assert torch.equal(other, one)


DIVIDING = """\
size = float(g.abs().sum())
if size > 0.5:
    p.sub_(g, alpha=0.1 / size)
elif size > 0:
    p.sub_(g, alpha=math.log(size) / size)"""


def test_a_number_of_a_way_that_is_not_taken_does_not_fail():
    groups = groups_of(SHAPES)
    replay, here = replay_of(each_parameter(DIVIDING), groups)
    generator = torch.Generator().manual_seed(0)

    for _ in range(20):
        for each in parameters_in(groups):
            way = int(torch.randint(3, (), generator=generator))
            each.grad = torch.full_like(each, (0.0, 1e-3, 1.0)[way])
        replay.step(None, None)

    assert is_merged(here.programs[-1])
    assert replay.recordings <= 6


def test_more_ways_than_are_looked_at_are_recorded_one_way_each():
    asks = "".join(f"if g.sum() > {at / 10}:\n    p.mul_(0.9)\n" for at in range(5))
    source = each_parameter(asks + "p.sub_(g)")

    _, here, _, pairs = steps_beside(source, 8, groups_of([(3, 3)]))

    assert not any(map(is_merged, here.programs))
    for one, other in pairs:
        assert torch.equal(other, one)


class OneWay(Here):
    """Records every step one way, whatever is asked."""

    def step(self, asked):
        return super().step(replace(asked, merge=False))


@pytest.mark.skipif(compiler() is None, reason="no C compiler is here")
@pytest.mark.parametrize("body", [CLIP, COUNT, KEEP], ids=["clip", "count", "keep"])
def test_kernels_of_both_ways_give_the_bits_of_each_way(
    body, tmp_path_factory, monkeypatch
):
    folder = tmp_path_factory.getbasetemp() / "kernels"
    monkeypatch.setenv("DUX_KERNEL_CACHE", str(folder))
    source, groups = each_parameter(body), groups_of([(40, 33), (70,)])[:1]
    others = twin_of(groups)
    records = Here(source, groups), OneWay(source, others)
    pairs = list(zip(parameters_in(groups), parameters_in(others), strict=True))
    generator = torch.Generator().manual_seed(1)

    with ExitStack() as ending:
        replays = [
            ending.enter_context(closing(Replay(weights, here, BOUNDS, compiles=True)))
            for weights, here in zip(zip(*pairs, strict=True), records, strict=True)
        ]
        for replay, here in zip(replays, records, strict=True):
            replay.build(here.build())
        for _ in range(16):
            for one, other in pairs:
                scale = 0.05 * float(torch.rand((), generator=generator))
                one.grad = scale * torch.randn(one.shape, generator=generator)
                other.grad = one.grad.clone()
            for replay in replays:
                replay.step(None, None)

    assert is_merged(records[0].programs[-1])
    assert not any(map(is_merged, records[1].programs))
    for one, other in pairs:
        assert torch.equal(one, other)


@pytest.mark.skipif(compiler() is None, reason="no C compiler is here")
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16", "bool"])
def test_a_kernel_picks_by_a_number(dtype):
    writing, kind = Writing(), TensorType(dtype, (100,))
    one, other = (writing.read("state", 0, name, type=kind) for name in "ab")
    asked = writing.read("option", 0, "asked", type="bool")
    writing.write(writing.do("pick", asked, one, other), "state", 0, "c")
    given = [torch.randn(100).to(getattr(torch, dtype)) for _ in range(2)]
    fused = fuse(writing.program())

    for way in (True, False):
        (made, *_) = fused.run([*given, way])

        assert torch.equal(given[not way], made)


def test_a_pick_of_what_is_not_alike_is_refused():
    writing = Writing()
    one = writing.read("state", 0, "a", type=TensorType("float32", (2,)))
    other = writing.read("state", 0, "b", type=TensorType("float64", (2,)))
    asked = writing.read("option", 0, "asked", type="bool")
    writing.write(writing.do("pick", asked, one, other), "state", 0, "a")
    program = writing.program()

    with pytest.raises(ProgramRefused, match="not alike"):
        verify(program, allowed_for(program))


def test_a_branch_that_decides_between_a_number_and_a_tensor_is_recorded_one_way():
    body = (
        "n = g.norm()\nif n == 0:\n    r = 1.0\nelse:\n    r = 1.0 / n\n"
        'state["r"] = r\np.sub_(g, alpha=0.1)'
    )
    groups = groups_of(SHAPES)
    others = twin_of(groups)
    replay, _ = replay_of(each_parameter(body), groups)

    for step in range(5):
        for at, each in enumerate(parameters_in(groups)):
            each.grad = torch.full_like(each, float(at != step))
        replay.step(None, None)

    for mine, other in zip(parameters_in(groups), parameters_in(others), strict=True):
        assert torch.allclose(mine, other - 4 * 0.11, atol=1e-6)
