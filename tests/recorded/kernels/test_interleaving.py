"""Steps in turns: numbers and draws of single parameters between their passes."""

from contextlib import closing

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.recorded.interpreting import interpret
from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.kernels.fusing import types_of
from dux_sandbox.recorded.kernels.never_raising import Conditions, is_sure_draw
from dux_sandbox.recorded.kernels.planning import plan_of
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.random_operations import STATE
from tests.recorded.programs import Writing
from tests.recorded.recording import replay_of, twin_of
from tests.recorded.test_both_ways import CLAMP, SKIP, each_parameter

ALONG = {"dim": None, "keepdim": False, "dtype": None}
SIZES = (1 << 19, 1 << 19, 1 << 18, 300, 7)


def trusting(least, ratio="number.div", **more):
    """Each parameter moves by its gradient, in proportion to two norms of its own."""
    w = Writing()
    places = [
        [w.read(kind, at, type=TensorType("float32", (size,))) for kind in KINDS]
        for at, size in enumerate(SIZES)
    ]
    eps = w.read("option", 0, "eps", type="float") if least is None else None
    least = w.number(least) if eps is None else eps
    two = w.number(2)
    for at, (p, g) in enumerate(places):
        sizes = [w.do("item", w.do("norm", each, two, **ALONG)) for each in (p, g)]
        part = w.do(ratio, sizes[0], w.do("number.add", sizes[1], least))
        if more.get("asks"):
            w.guard(w.do("number.gt", part, w.number(0.0)))
        if more.get("keeps") and at == 1:
            w.write(part, "state", at, "part")
        w.write(w.do("sub", p, w.do("mul", g, part)), "parameter", at)
    return w.program()


KINDS = ("parameter", "gradient")


def inputs_of(program, **numbers):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(each.type.shape, generator=generator)
        if isinstance(each.type, TensorType)
        else numbers[each.place[-1]]
        for each in program.inputs
    ]


def writes(plan):
    """For each stage, whether a parameter is written there."""
    values = plan.program.values
    return [
        any(
            at >= values
            for one in stage.passes
            for x in one.strands
            for at in x.buffers
        )
        for stage in plan.stages
    ]


@pytest.mark.parametrize("least", [1e-8, None])
def test_a_ratio_of_a_tensor_is_had_just_before_it_is_written(least):
    program = trusting(least)
    inputs = inputs_of(program, eps=1e-8)
    wanted = interpret(
        program, [x.clone() if type(x) is not float else x for x in inputs]
    )

    fuse(program).run(inputs)

    written = writes(plan_of(program))
    assert 3 <= sum(written)
    assert not all(written[written.index(True) :])
    for output in program.outputs:
        got = inputs[2 * output.place[1]]
        assert torch.allclose(wanted[output.value], got, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    "more",
    [{"asks": True}, {"keeps": True}, {"ratio": "number.pow"}, {"least": 0.0}],
    ids=str,
)
def test_nothing_is_written_before_what_may_fail_is_over(more):
    program = trusting(**{"least": 1e-8} | more)

    written = writes(plan_of(program))

    assert [len(written) - 1] == [at for at, each in enumerate(written) if each]


def test_a_step_that_fails_in_mid_way_writes_nothing():
    program = trusting(None)
    inputs = inputs_of(program, eps=0.0)
    before = [x.clone() for x in inputs[:-1]]
    inputs[5].zero_()
    before[5].zero_()

    with pytest.raises(ZeroDivisionError):
        fuse(program).run(inputs)

    assert all(map(torch.equal, before, inputs[:-1]))


@pytest.mark.parametrize("op", ["add", "clamp_min"])
@pytest.mark.parametrize(
    ("dtype", "least"), [("float16", 1e-8), ("float32", 1e-50), ("bfloat16", 1e-45)]
)
def test_what_is_rounded_to_zero_in_a_tensor_keeps_no_step_from_failing(
    op, dtype, least
):
    w = Writing()
    places = [
        [w.read(kind, at, type=TensorType(dtype, (size,))) for kind in KINDS]
        for at, size in enumerate(SIZES)
    ]
    for at, (p, g) in enumerate(places):
        norm = w.do("norm", g, w.number(2), **ALONG)
        size = w.do("item", w.do(op, norm, w.number(least)))
        part = w.do("number.div", w.number(1.0), size)
        w.write(w.do("sub", p, w.do("mul", g, part)), "parameter", at)
    inputs = [x.to(getattr(torch, dtype)) for x in inputs_of(w.program())]
    inputs[5].zero_()
    before = [x.clone() for x in inputs]

    with pytest.raises(ZeroDivisionError):
        fuse(w.program()).run(inputs)

    assert all(map(torch.equal, before, inputs))


def test_a_number_of_which_nothing_is_known_lets_a_step_be_taken_all_the_same():
    program = trusting(None)
    inputs = inputs_of(program, eps=0.0)
    wanted = interpret(program, [*(x.clone() for x in inputs[:-1]), 0.0])

    fuse(program).run(inputs)

    for output in program.outputs:
        assert torch.equal(wanted[output.value], inputs[2 * output.place[1]])


def noisy(*numbers, kind="normal"):
    """Noise is added to each parameter."""
    w = Writing()
    kinds = [TensorType("float32", (each,)) for each in SIZES]
    weights = [w.read("parameter", at, type=each) for at, each in enumerate(kinds)]
    state = w.read("attribute", "generator", type=STATE)
    given = [w.number(each) for each in numbers]
    for at, (p, of) in enumerate(zip(weights, kinds, strict=True)):
        sizes = {"size": list(of.shape), "dtype": "float32"}
        drawn = w.do("drawn", state, *given, kind=kind, **sizes)
        noise, state = w.do("part", drawn, index=0), w.do("part", drawn, index=1)
        w.write(w.do("add", p, noise), "parameter", at)
    w.write(state, "attribute", "generator")
    return w.program()


def test_one_draw_is_there_at_a_time_and_all_are_in_the_order_of_the_rule():
    program = noisy(0.0, 0.1)
    state = torch.Generator().manual_seed(3).get_state()
    inputs = [*inputs_of(program)[:-1], state.clone()]
    wanted = interpret(program, [each.clone() for each in inputs])

    fuse(program).run(inputs)

    names = [
        [program.operation_of(value).name for value in stage.plain]
        for stage in plan_of(program).stages
    ]
    assert 1 == max(each.count("drawn") for each in names[:-1])
    for output, got in zip(program.outputs, inputs, strict=True):
        assert torch.equal(wanted[output.value], got)


@pytest.mark.parametrize(
    ("kind", "numbers", "expected"),
    [
        ("normal", (0.0, 1.0), True),
        ("normal", (0.0, -1.0), False),
        ("normal", (0.0, float("nan")), False),
        ("uniform", (0.0, 1.0), True),
        ("uniform", (1.0, 0.0), False),
        ("bernoulli", (0.5,), True),
        ("bernoulli", (1.5,), False),
        ("cauchy", (0.0, 1.0), False),
    ],
)
def test_only_draws_that_cannot_fail_are_done_in_between(kind, numbers, expected):
    program = noisy(*numbers, kind=kind)
    (first, *_) = [
        value
        for value in range(len(program.inputs), program.values)
        if program.operation_of(value).name == "drawn"
    ]

    assert expected is is_sure_draw(program, first)
    assert expected == (2 < sum(writes(plan_of(program))))


def of_norm(make):
    """Whether a number that is made of one tensor's norm cannot fail."""
    w = Writing()
    norm = w.do("norm", w.read("parameter", 0), w.number(2), **ALONG)
    given = {
        "norm": w.do("item", norm),
        "sum": w.do("item", w.do("sum", 0, **ALONG)),
        "mean": w.do("item", w.do("mean", w.do("mul", 0, 0), **ALONG)),
        "zero": w.number(0.0),
        "one": w.number(1.0),
        "minus": w.number(-1.0),
        "nan": w.number(float("nan")),
    }
    made = make(w, given)
    program = w.program()
    late = range(given["minus"] + 2, program.values)
    late = {*late, given["norm"], given["sum"], given["mean"]}
    return Conditions(program, types_of(program), late).hold(made)


def _number(name):
    return lambda w, one, *more: w.do(f"number.{name}", one, *more)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda w, x: w.do("number.sqrt", x["norm"]), True),
        (lambda w, x: w.do("number.sqrt", x["mean"]), True),
        (lambda w, x: w.do("number.sqrt", x["sum"]), False),
        (lambda w, x: w.do("number.div", x["one"], x["norm"]), False),
        (lambda w, x: w.do("number.mul", x["sum"], x["sum"]), True),
        (lambda w, x: w.do("number.exp", x["sum"]), False),
        (
            lambda w, x: w.do(
                "number.div", x["sum"], w.do("number.max", x["sum"], x["one"])
            ),
            True,
        ),
        (
            lambda w, x: w.do(
                "number.div", x["sum"], w.do("number.max", x["zero"], x["norm"])
            ),
            False,
        ),
        (
            lambda w, x: w.do(
                "number.div", x["sum"], w.do("number.min", x["norm"], x["one"])
            ),
            False,
        ),
        (
            lambda w, x: w.do(
                "number.div", x["sum"], w.do("number.add", x["sum"], x["one"])
            ),
            False,
        ),
        (
            lambda w, x: w.do(
                "number.div",
                x["sum"],
                w.do(
                    "number.pick",
                    w.do("number.gt", x["sum"], x["zero"]),
                    x["sum"],
                    x["one"],
                ),
            ),
            True,
        ),
        (
            lambda w, x: w.do(
                "number.div",
                x["sum"],
                w.do(
                    "number.pick",
                    w.do("number.gt", x["sum"], x["minus"]),
                    x["sum"],
                    x["one"],
                ),
            ),
            False,
        ),
    ],
)
def test_what_cannot_fail_is_known(make, expected):
    assert expected is of_norm(make)


ADAPTED = """\
state["m"].lerp_(g, 0.1)
u = state["m"] / (g.abs() + 0.1)
w, n = p.norm().item(), u.norm().item()
ratio = w / n if w > 0 and n > 0 else 1.0
p.add_(u, alpha=-0.01 * min(ratio, 10.0))"""
NOISE = """\
p.add_(torch.randn_like(p), alpha=0.01 * float(g.norm()) / (1.0 + p.numel()))"""
RULES = {
    "adapted": ADAPTED,
    "clamped": CLAMP,
    "skipping": SKIP,
    "noise": NOISE,
    "rows": """\
c = state.setdefault("c", torch.zeros(p.shape[-1]))
c.lerp_(g.pow(2).mean(dim=0) if g.ndim > 1 else g.pow(2), 0.1)
u = g / (c.sqrt() + 1e-3)
u = u / max(1.0, float(u.norm()) / u.numel() ** 0.5)
p.sub_(0.01 * u)""",
}


def stepped(source, kind, missing):
    shapes = [(1024, 600), (700, 600), (600,), (5,)]
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(x, generator=generator)) for x in shapes]
    torch.manual_seed(0)  # what a recorded rule draws with is seeded so
    rule = EXECUTIONS[kind].build(
        source, [{"params": weights}], limits=Limits(), seed=0
    )
    groups = [{"params": weights, **rule.options[0]}]
    rule.bind(groups)
    with closing(rule):
        for step in range(12):
            for at, each in enumerate(weights):
                drawn = torch.randn(each.shape, generator=generator)
                each.grad = None if (step, at) in missing else drawn * 0.1
            rule.step()
        return weights, rule, rule.state_by_parameter()


@pytest.mark.parametrize("name", RULES)
def test_a_rule_over_a_million_weights_is_stepped_as_inline(name):
    source = each_parameter(RULES[name])
    missing = {(5, 0), (5, 3), (6, 1), (9, 0)}

    weights, rule, kept = stepped(source, "recorded", missing)
    others, _, theirs = stepped(source, "inline", missing)

    assert "recorded" == rule.mode
    for one, other in zip(weights, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        for name in theirs[other]:
            mine, his = (torch.as_tensor(x[name]) for x in (kept[one], theirs[other]))
            torch.testing.assert_close(mine, his, rtol=1e-5, atol=1e-6)


def recorded_once(source, side):
    groups = [{"params": [torch.nn.Parameter(torch.randn(side, side))]}]
    replay, here = replay_of(source, groups)
    for _ in range(3):
        groups[0]["params"][0].grad = torch.randn(side, side)
        replay.step(None, None)
    return here.programs[-1]


@pytest.mark.parametrize(("side", "both"), [(1024, True), (100, False)])
def test_branches_of_large_tensors_are_recorded_both_ways_at_once(side, both):
    program = recorded_once(each_parameter(ADAPTED), side)

    assert both == any("pick" in each.name for each in program.operations)
    assert both == (not program.guards)


def test_a_branch_that_spares_a_product_is_recorded_one_way():
    body = "if g.norm() > 1e9:\n    g = g @ g.T @ g\np.sub_(g)"

    program = recorded_once(each_parameter(body), 1024)

    assert "mm" not in [each.name for each in program.operations]


def test_a_branch_that_decides_between_a_number_and_a_tensor_is_recorded_one_way():
    body = (
        "n = g.norm()\nif n == 0:\n    r = 1.0\nelse:\n    r = 1.0 / n\n"
        'state["r"] = r\np.sub_(g, alpha=0.1)'
    )

    groups = [{"params": [torch.nn.Parameter(torch.randn(1024, 1024))]}]
    others = twin_of(groups)
    replay, _ = replay_of(each_parameter(body), groups)
    for _ in range(3):
        groups[0]["params"][0].grad = torch.ones(1024, 1024)
        replay.step(None, None)

    wanted = others[0]["params"][0].detach() - 3 * 0.11
    assert torch.allclose(wanted, groups[0]["params"][0], atol=1e-6)
