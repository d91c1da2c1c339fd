"""Tensors that are cut into rows, so that nothing is copied to write one of them."""

import random
from contextlib import closing

import pytest
import torch

from dux_sandbox.recorded.interpreting import GuardFailed, interpret
from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.kernels.planning import plan_of
from dux_sandbox.recorded.program import TensorType
from tests.recorded.kernels.test_rules import built
from tests.recorded.programs import Writing
from tests.recorded.test_both_ways import each_parameter
from tests.sources import with_step

ALONG = {"dim": None, "keepdim": False, "dtype": None}


def names_in(program):
    plan = plan_of(program)
    return [
        plan.program.operation_of(value).name
        for stage in plan.stages
        for value in stage.plain
    ]


def drawn(program, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(x.type.shape, generator=generator) for x in program.inputs]


def ring(index, *, guard=False):
    """One row of three becomes a gradient, and the weights move by the mean."""
    w = Writing()
    p, g = w.read("parameter", 0), w.read("gradient", 0)
    kept = w.read("state", 0, "ring", type=TensorType("float32", (3, 4, 3)))
    if guard:
        total = w.do("item", w.do("sum", p, **ALONG))
        w.guard(w.do("number.gt", total, w.number(1e9)))
    made = w.do("select_scatter", kept, g, dim=0, index=index)
    mean = w.do("mean", made, dim=[0], keepdim=False, dtype=None)
    w.write(w.do("sub", p, mean), "parameter", 0)
    w.write(made, "state", 0, "ring")
    return w.program()


@pytest.mark.parametrize("index", [0, 1, 2, -1])
def test_of_a_ring_one_row_is_written_in_its_place(index):
    program = ring(index)
    inputs = drawn(program)
    wanted = interpret(program, [each.clone() for each in inputs])
    at = inputs[2].data_ptr()

    fuse(program).run(inputs)

    plan = plan_of(program)
    rows = [x for x in plan.program.outputs if x.place[:3] == ("state", 0, "ring")]
    assert [("state", 0, "ring", index % 3)] == [each.place for each in rows]
    assert not {"select_scatter", "mean", "stack", "cat"} & set(names_in(program))
    assert at == inputs[2].data_ptr()
    assert torch.equal(wanted[program.outputs[0].value], inputs[0])
    assert torch.equal(wanted[program.outputs[1].value], inputs[2])


def test_a_ring_is_as_it_was_where_a_guard_fails():
    program = ring(1, guard=True)
    inputs = drawn(program)
    before = [each.clone() for each in inputs]

    with pytest.raises(GuardFailed):
        fuse(program).run(inputs)

    assert all(map(torch.equal, before, inputs))


def test_a_ring_that_lies_otherwise_is_written_where_it_is():
    program = ring(1)
    inputs = drawn(program)
    wanted = interpret(program, [each.clone() for each in inputs])
    inputs[2] = inputs[2].permute(2, 1, 0).contiguous().permute(2, 1, 0)

    fuse(program).run(inputs)

    assert torch.equal(wanted[program.outputs[1].value], inputs[2])


def flat(of):
    """One vector of two gradients moves a vector of averages, and these the weights."""
    w = Writing()
    kinds = [TensorType("float32", (4, 3)), TensorType("float32", (5,))]
    weights = [w.read("parameter", at, type=kind) for at, kind in enumerate(kinds)]
    gradients = [w.read("gradient", at, type=kind) for at, kind in enumerate(kinds)]
    kept = w.read("attribute", "m", type=TensorType("float32", (17,)))
    rows = [w.do("reshape", gradients[0], shape=[12]), gradients[1]]
    vector = w.do("cat", *rows, dim=0)
    more = (w.number(2),) if of == "norm" else ()
    over = {} if of == "dot" else ALONG if not of.startswith("a") else dict(ALONG)
    if of.startswith("a"):
        del over["dtype"]
    size = w.do(of, vector, *((vector,) if of == "dot" else more), **over)
    vector = w.do("div", vector, w.do("add", size, w.number(3.0)))
    made = w.do("add", w.do("mul", kept, w.number(0.9)), vector)
    for at, (begin, end) in enumerate([(0, 12), (12, 17)]):
        part = w.do("slice", made, dim=0, start=begin, end=end, step=1)
        part = w.do("reshape", part, shape=list(kinds[at].shape))
        w.write(w.do("sub", weights[at], part), "parameter", at)
    w.write(made, "attribute", "m")
    return w.program()


@pytest.mark.parametrize("of", ["norm", "sum", "mean", "amax", "amin", "dot"])
def test_a_vector_of_all_gradients_is_never_made(of):
    program = flat(of)
    inputs = drawn(program)
    wanted = interpret(program, [each.clone() for each in inputs])

    fuse(program).run(inputs)

    assert not {"cat", "slice", "reshape"} & set(names_in(program))
    for output, got in zip(
        program.outputs, (inputs[0], inputs[1], inputs[4]), strict=True
    ):
        torch.testing.assert_close(got, wanted[output.value], rtol=1e-6, atol=1e-6)


class Rows:
    """A program by chance, of what is done to rows and what is not."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.w = w = Writing()
        self.many, self.kinds = self.chance.choice([2, 3, 5, 20]), {}
        kind = TensorType("float32", (self.many, 4))
        self.inputs = [w.read("state", 0, str(at), type=kind) for at in range(3)]
        self.rows = [
            w.read("gradient", at, type=TensorType("float32", (4,))) for at in (0, 1)
        ]
        self.wholes = list(self.inputs)

    def add(self):
        pick, w = self.chance.choice, self.w
        what = pick(
            "select slice scatter slices add scale sum mean norm cat stack".split()
        )
        whole, row = pick(self.wholes), pick(self.rows)
        at = self.chance.randrange(self.many)
        end = self.chance.randrange(at + 1, self.many + 1)
        if what == "select":
            self.rows.append(w.do("select", whole, dim=0, index=at))
        elif what == "slice" and self.chance.random() < 0.3:
            part = w.do("slice", whole, dim=0, start=at, end=end, step=1)
            self.rows.append(w.do("sum", part, dim=[0], keepdim=False, dtype=None))
        elif what == "scatter":
            self.wholes.append(w.do("select_scatter", whole, row, dim=0, index=at))
        elif what == "slices":
            part = w.do("slice", pick(self.wholes), dim=0, start=at, end=end, step=1)
            span = {"dim": 0, "start": at, "end": end, "step": 1}
            self.wholes.append(w.do("slice_scatter", whole, part, **span))
        elif what == "add":
            self.wholes.append(w.do("add", whole, pick(self.wholes)))
            self.rows.append(w.do("maximum", row, pick(self.rows)))
        elif what == "scale" and self.chance.random() < 0.3:
            self.wholes.append(w.do("mul", whole, row))
        elif what in ("sum", "mean"):
            self.rows.append(w.do(what, whole, dim=[0], keepdim=False, dtype=None))
        elif what == "norm":
            self.rows.append(
                w.do("mul", row, w.do("norm", whole, w.number(2), **ALONG))
            )
        elif what == "cat" and self.many > 2:
            parts = [
                w.do("slice", pick(self.wholes), dim=0, start=x, end=y, step=1)
                for x, y in [(0, 1), (1, self.many)]
            ]
            self.wholes.append(w.do("cat", *parts, dim=0))
        elif what == "stack" and self.many <= 5:
            rows = [pick(self.rows) for _ in range(self.many)]
            self.wholes.append(w.do("stack", *rows, dim=0))

    def program(self):
        for _ in range(self.chance.randrange(3, 14)):
            self.add()
        for at in range(3):
            if self.chance.random() < 0.7:
                self.w.write(self.wholes[-1 - at], "state", 0, str(at))
        self.w.write(self.rows[-1], "state", 0, "row")
        return self.w.program()


@pytest.mark.parametrize("seed", range(120))
def test_programs_by_chance_do_what_they_did(seed):
    program = Rows(seed).program()
    inputs = drawn(program, seed)
    wanted = interpret(program, [each.clone() for each in inputs])
    fused = fuse(program)

    given = fused.run(inputs)

    places = {each.place: at for at, each in enumerate(program.inputs)}
    for output, made in zip(program.outputs, given[:-1], strict=True):
        at = places.get(output.place)
        got, want = (made if at is None else inputs[at]), wanted[output.value]
        atol = 1e-5 * float(want.abs().max())
        torch.testing.assert_close(got, want, rtol=1e-5, atol=atol)


def test_programs_by_chance_are_cut_often():
    plans = [plan_of(Rows(seed).program()) for seed in range(120)]

    assert 25 <= sum(bool(each.parts.rows) for each in plans) < 120


RULES = {
    "ring": """\
if "ring" not in state:
    state["ring"], state["n"] = torch.zeros(3, *p.shape), 0
state["ring"][state["n"] % 3] = g
state["n"] += 1
p.sub_(0.1 * state["ring"].mean(dim=0))""",
    "rolled": """\
if "ring" not in state:
    state["ring"] = torch.zeros(4, *p.shape)
state["ring"][1:] = state["ring"][:-1].clone()
state["ring"][0].copy_(g)
p.sub_(0.1 * (2 * state["ring"][0] - state["ring"][2]))""",
    "first row": "p[0] -= 0.1 * g[0]\np[-1:].mul_(0.99)",
}
FLAT = """\
        ps = [p for g in self.param_groups for p in g["params"] if p.grad is not None]
        flat = torch.cat([p.grad.reshape(-1) for p in ps])
        flat = flat / max(1.0, float(flat.norm()))
        if self.m is None or self.m.numel() != flat.numel():
            self.m = torch.zeros_like(flat)
        self.m.mul_(0.9).add_(flat, alpha=0.1)
        at = 0
        for p in ps:
            p.add_(self.m[at : at + p.numel()].view_as(p), alpha=-0.1)
            at += p.numel()
"""


@pytest.mark.parametrize("name", [*RULES, "flat"])
def test_a_rule_of_rows_is_stepped_as_inline(name):
    source = with_step(FLAT, "        self.m = None\n") if name == "flat" else None
    source = source or each_parameter(RULES[name])
    ends, kept = [], []
    for kind in ("recorded", "inline"):
        rule, weights, _ = built(source, kind)
        generator = torch.Generator().manual_seed(1)
        with closing(rule):
            for step in range(14):
                for at, weight in enumerate(weights):
                    values = torch.randn(weight.shape, generator=generator)
                    missing = (step, at) in {(5, 0), (6, 1), (9, 1)}
                    weight.grad = None if missing else values
                rule.step()
            assert "recorded" == getattr(rule, "mode", "recorded")
            kept.append(rule.snapshot())
        ends.append(weights)

    for recorded, inline in zip(*ends, strict=True):
        torch.testing.assert_close(recorded, inline, rtol=1e-6, atol=1e-6)
    for at, values in kept[1].state.items():
        for key, value in values.items():
            mine = torch.as_tensor(kept[0].state[at][key])
            torch.testing.assert_close(mine, torch.as_tensor(value))


def test_what_a_rule_keeps_shares_no_memory_with_its_snapshot():
    rule, weights, _ = built(each_parameter(RULES["ring"]), "recorded")
    generator = torch.Generator().manual_seed(1)
    with closing(rule):
        for _ in range(5):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=generator)
            rule.step()
        before = rule.snapshot().state[0]["ring"]
        copied = before.clone()
        rule.step()
        after = rule.snapshot().state[0]["ring"]

    assert (3, 20, 30) == tuple(after.shape)
    assert torch.equal(copied, before)
    assert not torch.equal(after, before)


@pytest.mark.parametrize(("size", "cut"), [(6, False), (4096, True)])
def test_a_list_of_small_results_is_brought_together_as_one(size, cut):
    w = Writing()
    kind = TensorType("float32", (size,))
    rows = [w.read("gradient", at, type=kind) for at in range(3)]
    total = w.do("norm", w.do("stack", *rows, dim=0), w.number(2), **ALONG)
    w.write(w.do("mul", rows[0], total), "parameter", 0)

    names = [each.name for each in plan_of(w.program()).program.operations]

    assert (4 if cut else 1) == names.count("norm")


def test_the_norm_of_norms_is_one_call():
    w = Writing()
    rows = [w.read("gradient", at) for at in range(6)]
    norms = [w.do("norm", each, w.number(2), **ALONG) for each in rows]
    total = w.do("norm", w.do("stack", *norms, dim=0), w.number(2), **ALONG)
    w.write(w.do("mul", rows[0], total), "parameter", 0)

    plan = plan_of(w.program())

    assert not plan.parts.rows
    assert 7 == [each.name for each in plan.program.operations].count("norm")
