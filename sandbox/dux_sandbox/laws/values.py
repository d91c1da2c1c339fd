"""Laws about values: what comes out is finite, moves, and goes downhill."""

from dataclasses import replace

from dux_sandbox.laws.cases import DTYPES, LAYOUTS, VALUES, Case
from dux_sandbox.laws.law import CALM, DECAYING, LR, MATRIX, Drawn, Law, case, listed
from dux_sandbox.laws.script import Unjudged
from dux_sandbox.laws.training import Training

_FINITE = "a parameter is NaN or infinite"


def accepts(training: Training, held: Case) -> None:
    """Every parameter is taken, stays finite, and moves."""
    training.accuse()
    training.begin(held, generator=held.variant == "generator")
    names = training.names(held)
    training.run(f"path = [[p.detach().clone() for p in ({listed(names)})]]")
    for step in range(len(held.gradients)):
        training.give(held, step)
        training.step(held)
        # Steps of one length come back to where they began when signs alternate.
        training.run(f"path.append([p.detach().clone() for p in ({listed(names)})])")
    training.claim(f"all(torch.isfinite(p).all() for p in ({listed(names)}))", _FINITE)
    if held.variant:
        return
    stays = "all(torch.equal(now[{0}], path[0][{0}]) for now in path)"
    pushed = [at for at in range(len(names)) if _moved_by(training, held, at)]
    if any(training.script.look(stays.format(at)) for at in pushed):
        # First steps may only gather; so this is judged after some more.
        later = (("steady",) * len(names),) * (training.facts.idle + 2)
        for step in range(len(later)):
            training.give(replace(held, gradients=later), step)
            training.step(held)
            training.run(
                f"path.append([p.detach().clone() for p in ({listed(names)})])"
            )
    for at in pushed:
        training.script.claim(
            f"not {stays.format(at)}",
            f"{names[at]} has a gradient and never moves",
            training.stillness,
        )


def _moved_by(training: Training, held: Case, at: int) -> bool:
    """Whether a parameter has gradients that must move it."""
    each = held.parameters[at]
    # A step of a bfloat16 below 2**-8 of the weight is lost in rounding.
    lost = each.dtype == "bfloat16" and each.values != "zeros"
    pushing = ("mixed",) if training.facts.still else ("mixed", "steady")
    pushed = any(kinds[at] in pushing for kinds in held.gradients)
    vanishes = 0 in each.shape or training.facts.nothing_left(each.shape)
    return pushed and not lost and not vanishes


ACCEPTS = Law(
    name="accepts",
    claim="Every shape, layout and dtype is taken, and every parameter moves.",
    reason="Models hold scalars, biases, convolutions, embeddings of nothing, tied and "
    "transposed weights, in float32, float64 and bfloat16; a rule meets them all.",
    catches="dies on 0-d, on an empty tensor, on a group that is empty; `view` of what "
    "has holes; a state of the wrong dtype; one-dimensional parameters skipped; no "
    "`torch.no_grad`; parameters from a generator read twice.",
    experiment=accepts,
    corners=(
        case(MATRIX, (3,), dtype="float64"),
        case(()),
        case((0,)),
        case(MATRIX, gradients="steady"),
        *(
            case(shape)
            for shape in ((1,), (3,), (2, 1, 2), (2, 2, 1, 2), (3, 1), (1, 3), (1, 1))
        ),
        *(case(shape) for shape in ((0, 3), (3, 0), (2, 0, 2))),
        case(MATRIX, (3,), dtype="bfloat16"),
        case(MATRIX, (3,), dtype="bfloat16", values="zeros"),
        *(case(MATRIX, layout=layout) for layout in LAYOUTS[1:]),
        *(case(MATRIX, (3,), gradient_layout=layout) for layout in LAYOUTS[1:]),
        *(
            case((2, 1, 3), (2, 2, 1, 2), layout=layout, gradient_layout=layout)
            for layout in LAYOUTS[1:]
        ),
        case((4,), (2, 2, 1, 2), layout="strided"),
        case(MATRIX, (), gradients="steady", groups=(0, 2), options=(LR, LR, LR)),
        case(MATRIX, (3,), variant="generator"),
    ),
    drawn=Drawn(
        shapes="any",
        dtypes=DTYPES,
        layouts=LAYOUTS,
        gradient_layouts=LAYOUTS,
        groups=3,
    ),
    relaxed_by=("matrices-only",),
)


def finite(training: Training, held: Case) -> None:
    """No gradient, however odd, makes a parameter NaN or infinite."""
    plain = replace(held, gradients=(("steady",) * len(held.parameters),) * 2)
    # What dies on an ordinary gradient as well is for `accepts` to say.
    control = training.apart()
    control.begin(plain)
    control.train(plain)
    training.accuse()
    training.begin(held)
    names = training.names(held)
    for step in range(len(held.gradients)):
        training.give(held, step)
        training.step(held)
    training.claim(f"all(torch.isfinite(p).all() for p in ({listed(names)}))", _FINITE)


_EXTREME = ("zeros", "tiny", "small", "huge", "sparse")

FINITE = Law(
    name="finite",
    claim="Finite in, finite out: zero, tiny, huge and sparse gradients do no harm.",
    reason="Dead units give zeros, saturated ones 1e-30, a bad batch 1e12; one NaN in "
    "a weight ends a run.",
    catches="division by zero where a gradient is zero or underflows when squared; no "
    "epsilon; a norm that is zero; overflow of a power; zero weights under a trust "
    "ratio.",
    experiment=finite,
    corners=(
        *(case(MATRIX, (3,), gradients=kind) for kind in _EXTREME),
        *(
            case(MATRIX, (), gradients=kind, values="zeros")
            for kind in ("zeros", "mixed")
        ),
        *(case((), gradients=kind) for kind in ("zeros", "tiny")),
        case(MATRIX, gradients=(("mixed",), ("zeros",), ("zeros",), ("mixed",))),
        case(MATRIX, gradients=(("zeros",), ("huge",), ("zeros",), ("tiny",))),
        case(MATRIX, gradients="zeros", options=(DECAYING,)),
        case(MATRIX, (3,), gradients="zeros", options=(CALM,)),
        case((1, 1)),
        case((2, 2), gradients="zeros", steps=30),
        case(MATRIX, gradients="mixed", steps=12, options=((),)),
        case(MATRIX, (1,), gradients="zeros", dtype="bfloat16"),
        case(MATRIX, (1,), gradients="huge", dtype="float64"),
    ),
    drawn=Drawn(
        dtypes=DTYPES,
        gradients=(*_EXTREME, "mixed"),
        values=VALUES,
        groups=2,
        steps=(1, 6),
    ),
)


def layout(training: Training, held: Case) -> None:
    """The memory layout of parameter and gradient changes nothing but rounding."""
    dense = replace(
        held,
        parameters=tuple(
            replace(each, layout="contiguous", gradient_layout="contiguous")
            for each in held.parameters
        ),
    )
    training.begin(dense)
    training.train(dense)
    training.accuse()
    training.begin(held, "2")
    training.train(held, "2")
    for name in training.names(held):
        training.claim(
            f"torch.allclose({name}, {name}2, rtol=1e-4, atol=1e-5)",
            f"{name}2 or its gradient lies differently in memory than {name}'s, and "
            f"it ends elsewhere",
        )


LAYOUT = Law(
    name="layout",
    claim="A parameter with holes in memory is trained like a dense one, whatever way "
    "its gradient lies.",
    reason="Transposed and sliced weights are ordinary parameters, and their gradients "
    "lie as they do; an update that is written to a reshaped copy is lost without an "
    "error.",
    catches="`reshape(-1)` written in place; `view` of what is not contiguous; flat "
    "buffers in the order of memory.",
    experiment=layout,
    corners=(
        case(MATRIX, layout="transposed"),
        case(MATRIX, (3,), layout="strided"),
        case((2, 1, 3), (2, 2, 1, 2), layout="transposed"),
        case(MATRIX, gradient_layout="transposed"),
        case(MATRIX, (2, 3, 2), layout="transposed", gradient_layout="transposed"),
    ),
    drawn=Drawn(layouts=LAYOUTS[1:], gradient_layouts=LAYOUTS),
    steady=True,
)


def downhill(training: Training, held: Case) -> None:
    """Against a constant gradient, the first steps lower the loss, or raise it where
    the rule is told to maximize."""
    held = training.under_way(held)
    if all(training.facts.nothing_left(each.shape) for each in held.parameters):
        raise Unjudged("a rule that centres gradients leaves nothing of these")
    training.require_rate(held)
    training.begin(held)
    training.keep(held)
    training.train(held)
    names = training.names(held)
    up = training.facts.options.get("maximize") is True
    training.claim_moved(
        f"sum(float(((p - q) * p.grad).sum()) for p, q in "
        f"zip(({listed(names)}), before)) {'>' if up else '<'} 0",
        f"the gradient never changed, and the parameters did not go "
        f"{'up' if up else 'down'} along it",
    )


DOWNHILL = Law(
    name="downhill",
    claim="While the gradient stays what it is, the parameters go down along it; up "
    "where the option `maximize` is set.",
    reason="It is what an optimizer is for.",
    catches="a sign that is wrong; a gradient that is dropped; an update that is "
    "computed and never written.",
    experiment=downhill,
    corners=(
        case(MATRIX, gradients="steady"),
        case(MATRIX, (3,), (), gradients="steady", options=((),)),
        case(MATRIX, (2, 1, 2), gradients="steady", steps=6),
    ),
    drawn=Drawn(gradients=("steady",), groups=2, decaying=False),
)


VALUES_LAWS = (ACCEPTS, FINITE, LAYOUT, DOWNHILL)
