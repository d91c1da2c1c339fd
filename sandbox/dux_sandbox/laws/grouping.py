"""Laws about parameters among each other: order, absence, groups that join late."""

from dataclasses import replace

from dux_sandbox.laws.cases import Case
from dux_sandbox.laws.law import DECAYING, LR, MATRIX, Drawn, Law, case
from dux_sandbox.laws.script import Unjudged
from dux_sandbox.laws.training import Training

_CLOSE = "rtol=1e-4, atol=1e-5"


def order(training: Training, held: Case) -> None:
    """Parameters and groups in the opposite order end where they ended before."""
    if training.facts.line_search and len(set(held.options)) > 1:
        raise Unjudged("a line search takes the options of its first group for all")
    training.begin(held)
    training.train(held)
    training.accuse()
    training.begin(held, "2", backwards=True)
    training.train(held, "2")
    for name in training.names(held):
        training.claim(
            f"torch.allclose({name}, {name}2, {_CLOSE})",
            f"{name} ends elsewhere when the parameters come in the opposite order",
        )


ORDER = Law(
    name="order",
    claim="The order of parameters and of groups does not matter.",
    reason="A checkpoint, a refactoring or a set changes it, and training must not.",
    catches="one step count for all, raised for each parameter; one buffer for all of "
    "a shape; state keyed by a position that a missing gradient shifts; values left "
    "over from the parameter before.",
    experiment=order,
    corners=(
        case(MATRIX, MATRIX),
        case((3,), (3,), MATRIX, gradients="steady"),
        case((3,), (3,), groups=(0, 1), options=(LR, LR)),
        case((3,), MATRIX, (3,), groups=(0, 1, 1), options=(DECAYING, DECAYING)),
        case(
            (3,),
            (3,),
            gradients=(("mixed", "mixed"), ("none", "mixed"), ("mixed", "mixed")),
        ),
        case(
            (3,),
            (3,),
            gradients=(("mixed", "none"), ("mixed", "mixed"), ("mixed", "mixed")),
        ),
        case(MATRIX, (), gradients="steady", steps=6),
    ),
    drawn=Drawn(
        gradients=("mixed", "steady", "none", "sparse"),
        parameters=(2, 3),
        groups=2,
    ),
    steady=True,
)


def _beside_an_empty_one(training: Training, held: Case) -> None:
    training.begin(held)
    training.train(held)
    training.accuse()
    training.begin(held, "2", only=[0])
    training.train(held, "2", only=[0])
    training.claim(
        f"torch.allclose(a, a2, {_CLOSE})",
        "a ends elsewhere because an empty parameter is trained beside it",
    )


def missing(training: Training, held: Case) -> None:
    """Without a gradient a parameter stays, and the others do not notice."""
    if held.variant == "companion":
        _beside_an_empty_one(training, held)
        return
    whole = replace(
        held,
        gradients=tuple(
            tuple("steady" if kind == "none" else kind for kind in row)
            for row in held.gradients
        ),
    )
    control = training.apart()
    control.begin(whole)
    control.train(whole)
    names = training.names(held)
    always = [
        at for at in range(len(names)) if {"none"} == {r[at] for r in held.gradients}
    ]
    training.accuse()
    training.begin(held)
    if held.variant == "unasked":
        for at in always:
            training.run(f"{names[at]}.requires_grad_(False)")
    for step, kinds in enumerate(held.gradients):
        training.give(held, step)
        training.keep(held)
        training.step(held)
        for at, name in enumerate(names):
            if kinds[at] == "none":
                training.claim(
                    f"torch.equal({name}, before[{at}])",
                    f"{name} has no gradient and moves",
                )
                training.claim(f"{name}.grad is None", "the step made a gradient")
    present = [at for at in range(len(names)) if at not in always]
    if not always or not present or len(set(held.groups)) > 1:
        return
    training.begin(held, "2", only=present)
    training.train(held, "2", only=present)
    for at in present:
        training.claim(
            f"torch.allclose({names[at]}, {names[at]}2, {_CLOSE})",
            f"{names[at]} ends elsewhere because another parameter has no gradient",
        )


MISSING = Law(
    name="missing",
    claim="A parameter without a gradient is left alone, and so are the others' steps.",
    reason="Unused branches, frozen layers and alternating losses leave gradients out, "
    "from the start or in mid-run.",
    catches="dies on `p.grad is None`; weight decay or momentum that goes on without "
    "one; `break` or `return` for `continue`; state made in the first step only.",
    experiment=missing,
    corners=(
        case((3,), MATRIX, gradients=(("none", "mixed"),) * 3, options=(DECAYING,)),
        case((3,), MATRIX, gradients=(("mixed", "none"),) * 3, options=(DECAYING,)),
        case((3,), gradients=(("mixed",), ("none",), ("mixed",)), options=(DECAYING,)),
        case((3,), (2,), gradients=(("mixed", "mixed"), ("none", "mixed"))),
        case((3,), (2,), gradients=(("none", "mixed"), ("mixed", "mixed"))),
        case((3,), MATRIX, gradients=(("none", "none"),) * 2, options=(DECAYING,)),
        case((3,), (2,), gradients=(("none", "mixed"),) * 2, variant="unasked"),
        case(
            (3,),
            (2,),
            gradients=(("none", "mixed"),) * 2,
            groups=(0, 1),
            options=(LR, LR),
        ),
        case((3,), (3,), (2,), gradients=(("mixed", "none", "mixed"),) * 3),
        case(MATRIX, (0,), steps=4, variant="companion"),
    ),
    drawn=Drawn(
        gradients=("mixed", "none", "steady"), groups=2, variants=("", "unasked")
    ),
)

_PACE_STEPS = 8


def add_group(training: Training, held: Case) -> None:
    """A group that joins late is trained as the rule trains."""
    idle = training.facts.idle
    fine = ", dtype=torch.float64" if training.facts.tiny else ""
    training.run(f"given = torch.tensor([[1.0, 1.5], [1.25, 1.75]]{fine})")
    training.run(f"pace, a = [], torch.nn.Parameter(torch.ones(2, 2{fine}))")
    lr = training.options_text(LR)
    training.run(f'optimizer = factory([{{"params": [a]{lr}}}])')
    for _ in range(_PACE_STEPS + 1 + idle):
        training.run("a.grad, before = given, a.detach().clone()")
        training.step(held)
        training.run("pace.append(float((a.detach() - before).abs().max()))")
    if idle:  # what only gathers sets no pace
        training.run("pace = [each for each in pace if each]")
    training.accuse()
    late = 0 if held.variant == "fresh" else _PACE_STEPS
    training.run(f"b2 = torch.nn.Parameter(torch.ones(3, 2{fine}))")
    training.run(f'optimizer2 = factory([{{"params": [b2]{lr}}}])')
    for _ in range(late):
        training.run("b2.grad = torch.cat([given, given[:1]])")
        training.step(held, "2")
    training.run(f"a2 = torch.nn.Parameter(torch.ones(2, 2{fine}))")
    training.run("kept = len(optimizer2.state)")
    training.run(f'optimizer2.add_param_group({{"params": [a2]{lr}}})')
    training.claim("len(optimizer2.state) >= kept", "what was remembered is gone")
    training.claim(
        "optimizer2.defaults.keys() <= optimizer2.param_groups[-1].keys()",
        "the new group lacks options that have a default",
    )
    for _ in range(idle):
        training.run("a2.grad, b2.grad = given, None")
        training.step(held, "2")
    training.run("a2.grad, b2.grad, before = given, None, a2.detach().clone()")
    training.step(held, "2")
    training.run("moved = float((a2.detach() - before).abs().max())")
    training.claim_moved("moved > 0", "the parameter of the new group never moves")
    if lr:
        training.run(f"c2 = torch.nn.Parameter(torch.ones(2, 2{fine}))")
        training.run('optimizer2.add_param_group({"params": [c2], "lr": 0.025})')
        training.claim(
            '[0.1, 0.1, 0.025] == [g["lr"] for g in optimizer2.param_groups]',
            "a new group comes with another rate, or changes those of the others",
        )
    training.claim(
        "min(pace) / 1.25 <= moved <= 1.25 * max(pace)",
        "the first step of the new group is none that the rule would take alone",
    )


ADD_GROUP = Law(
    name="add_group",
    claim="add_param_group works: the new group is trained like the first one.",
    reason="Layers are unfrozen and added in mid-run.",
    catches="a list of parameters made at construction; one step count for old and new "
    "parameters, and a bias correction from it; options that are not filled in.",
    experiment=add_group,
    corners=(case(MATRIX), case(MATRIX, variant="fresh")),
    drawn=Drawn(parameters=(1, 1), steps=(1, 1), variants=("", "fresh")),
    relaxed_by=("shared-clock",),
)

GROUPING_LAWS = (ORDER, MISSING, ADD_GROUP)
