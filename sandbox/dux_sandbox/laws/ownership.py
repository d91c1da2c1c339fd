"""Laws about what belongs to whom: gradients, frozen weights, the groups."""

from dux_sandbox.laws.cases import DTYPES, LAYOUTS, Case
from dux_sandbox.laws.law import (
    DECAYING,
    KNOWN_OPTIONS,
    LR,
    MATRIX,
    Drawn,
    Law,
    case,
    listed,
)
from dux_sandbox.laws.script import Unjudged
from dux_sandbox.laws.training import Training


def gradients(training: Training, held: Case) -> None:
    """A step leaves every gradient where and what it was."""
    training.begin(held)
    names = listed(training.names(held))
    for step in range(len(held.gradients)):
        training.give(held, step)
        training.run(f"held = [p.grad for p in ({names})]")
        training.run("values = [None if g is None else g.clone() for g in held]")
        training.step(held)
        training.claim(
            f"all(p.grad is g for p, g in zip(({names}), held))",
            "the step put another gradient in the place of the given one",
        )
        training.claim(
            "all(g is None or torch.equal(g, v) for g, v in zip(held, values))",
            "the step changed a gradient",
        )


GRADIENTS_LAW = Law(
    name="gradients",
    claim="Gradients are read, never written.",
    reason="Loops accumulate, clip, log and unscale gradients; who changes them in a "
    "step changes the next one too.",
    catches="weight decay added to `p.grad` in place; clipping in the step (declare "
    "`clips-gradients`); a momentum buffer that is the gradient; a `zero_grad`.",
    experiment=gradients,
    corners=(
        case(MATRIX, (3,), options=(DECAYING,)),
        case(MATRIX, gradients=(("huge",), ("mixed",))),
        case(MATRIX, (), gradients=(("mixed", "none"), ("none", "mixed"))),
        case(MATRIX, gradients="steady", steps=4, dtype="float64", options=(DECAYING,)),
        case(MATRIX, gradients="zeros", steps=2),
        case(MATRIX, steps=2, gradient_layout="transposed", options=(DECAYING,)),
        case(MATRIX, gradients="mixed", steps=2, options=((),)),
    ),
    drawn=Drawn(gradients=("mixed", "huge", "none", "sparse"), dtypes=DTYPES, groups=2),
    relaxed_by=("clips-gradients",),
)


def borrowed(training: Training, held: Case) -> None:
    """A loop that reuses its gradient tensors trains like one that does not."""
    training.begin(held)
    training.train(held)
    training.accuse()
    training.begin(held, "2")
    for step in range(len(held.gradients)):
        training.give(held, step, "2", in_place=True)
        training.step(held, "2")
    for name in training.names(held):
        training.claim(
            f"torch.equal({name}, {name}2)",
            "it matters whether gradients come in new tensors or in the old ones",
        )


BORROWED = Law(
    name="borrowed",
    claim="A gradient is not kept beyond its step.",
    reason="`zero_grad(set_to_none=False)`, DDP and most accumulation write the next "
    "gradient into the same tensor.",
    catches="a state that is `p.grad` itself and not a copy of it.",
    experiment=borrowed,
    corners=(case(MATRIX), case((3,), (), steps=4)),
    drawn=Drawn(gradients=("mixed", "sparse", "zeros"), steps=(2, 5)),
)


def in_place(training: Training, held: Case) -> None:
    """A parameter is the same tensor after a step, with other values."""
    training.begin(held)
    names = listed(training.names(held))
    training.run(f"views = [p.detach() for p in ({names})]")
    training.run("made = [(p.dtype, p.shape, p.stride()) for p in views]")
    for step in range(len(held.gradients)):
        training.give(held, step)
        training.step(held)
        training.claim(
            f"all(p.is_leaf and p.requires_grad for p in ({names}))",
            "a parameter no longer asks for a gradient",
        )
        training.claim(
            f"made == [(p.dtype, p.shape, p.stride()) for p in ({names})]",
            "a parameter changed its dtype, shape or strides",
        )
        training.claim(
            f"all(torch.equal(p, v) for p, v in zip(({names}), views))",
            "a parameter was given new memory; views of it are left behind",
        )
        training.claim(
            f"{{id(p) for p in ({names})}} == "
            '{id(p) for g in optimizer.param_groups for p in g["params"]}',
            "the groups hold other parameters than they were given",
        )


IN_PLACE = Law(
    name="in_place",
    claim="Parameters are updated where they are.",
    reason="Tied weights, flattened buffers and captured graphs look at the same "
    "memory; a parameter that was replaced is trained no more.",
    catches="`p.data = new`; a parameter put in the place of another; an update that "
    "changes the dtype; `requires_grad` switched off and not on again.",
    experiment=in_place,
    corners=(
        case(MATRIX, (3,)),
        case(MATRIX, (), dtype="float64"),
        case(MATRIX, dtype="bfloat16"),
        case(MATRIX, layout="transposed"),
    ),
    drawn=Drawn(dtypes=DTYPES, layouts=LAYOUTS, groups=2),
)


def foreign(training: Training, held: Case) -> None:
    """Nothing is written that the rule was not given."""
    training.run("base = torch.arange(12.0).reshape(4, 3) / 8")
    training.run("a = torch.nn.Parameter(base[1:3])")
    training.run("other = torch.nn.Parameter(torch.ones(2, 3))")
    training.build(held)
    training.run("a.grad, other.grad = torch.ones(2, 3), torch.ones(2, 3)")
    training.run("lr = [dict(g, params=0) for g in optimizer.param_groups]")
    for _ in held.gradients:
        training.step(held)
    training.claim(
        "torch.equal(base[::3], torch.arange(12.0).reshape(4, 3)[::3] / 8)",
        "the step wrote beside the parameter, into the tensor that it is a part of",
    )
    training.claim(
        "torch.equal(other, torch.ones(2, 3)) and "
        "torch.equal(other.grad, torch.ones(2, 3))",
        "the step changed a tensor that was never handed to it",
    )


FOREIGN = Law(
    name="foreign",
    claim="Tensors that the rule was not given are left alone.",
    reason="A model holds frozen parts, buffers, and parameters that another optimizer "
    "trains.",
    catches="writes through the storage of a view; tensors found by other ways than "
    "the groups.",
    experiment=foreign,
    corners=(case(MATRIX),),
    drawn=Drawn(parameters=(1, 1), steps=(1, 4), shapes="matrix"),
)


def keeps_groups(training: Training, held: Case) -> None:
    """The groups stay the user's: the dicts, the rates, and keys of others."""
    training.begin(held)
    training.run("groups = list(optimizer.param_groups)")
    training.run('for group in groups: group["initial_lr"] = 0.25')
    told = f"[[g.get(name) for name in {KNOWN_OPTIONS!r}] for g in groups]"
    training.run(f"given = {told}")
    training.accuse()
    training.train(held)
    training.claim(
        "len(groups) == len(optimizer.param_groups) and "
        "all(one is two for one, two in zip(groups, optimizer.param_groups))",
        "the step replaced the groups; a scheduler holds the old ones",
    )
    training.claim(
        'all(g.get("initial_lr") == 0.25 for g in groups)',
        "the step lost a key that a scheduler had put into the groups",
    )
    training.claim(
        f"given == {told}",
        "the step changed the learning rate or another option in the groups",
    )


KEEPS_GROUPS = Law(
    name="keeps_groups",
    claim="A step leaves the groups, their rates and usual options as they are.",
    reason="The rate belongs to the user and the scheduler, who multiply it and write "
    "it back.",
    catches="a schedule written into `group['lr']`; groups that are rebuilt; keys of "
    "others dropped.",
    experiment=keeps_groups,
    corners=(
        case(MATRIX, (3,), groups=(0, 1), options=(LR, LR)),
        case(MATRIX, steps=12, gradients="steady"),
        case(MATRIX, options=(DECAYING,)),
    ),
    drawn=Drawn(groups=2, steps=(1, 6)),
    relaxed_by=("schedules-rate",),
)


def frozen(training: Training, held: Case) -> None:
    """With a learning rate of zero and zero gradients nothing moves."""
    if held.gradients and training.facts.remembers:
        raise Unjudged("in mid-run it goes back to weights that it remembers")
    training.begin(held)
    training.train(held)
    training.keep(held)
    training.set_option("lr", 0.0)
    names = training.names(held)
    training.accuse()
    for name in names:
        training.run(f"{name}.grad = torch.zeros_like({name})")
    for _ in range(2):
        training.step(held)
    for at, name in enumerate(names):
        training.claim(
            f"torch.equal({name}, before[{at}])",
            f"lr is 0 and every gradient is 0, and {name} moves",
        )


FROZEN = Law(
    name="frozen",
    claim="With lr=0 and zero gradients a step moves nothing, fresh or in mid-run.",
    reason="`torch.distributed.checkpoint` takes exactly this step to make state; "
    "schedules begin and end at zero.",
    catches="a learning rate taken at construction, or folded into the momentum; "
    "weight decay without the rate; weights clamped, rounded or normalised.",
    experiment=frozen,
    corners=(
        case(MATRIX, (3,), steps=0),
        case(MATRIX, (3,), steps=0, options=(DECAYING,), values="large"),
        case(MATRIX, (), steps=3, options=(DECAYING,)),
        case(MATRIX, steps=3, options=((),)),
        case(MATRIX, steps=2, dtype="float64", options=(DECAYING,)),
    ),
    drawn=Drawn(dtypes=DTYPES, values=("mixed", "large"), groups=2, steps=(0, 5)),
    needs="lr",
    relaxed_by=("averages-weights", "keeps-residual", "projects-weights"),
)

OWNERSHIP_LAWS = (
    GRADIENTS_LAW,
    BORROWED,
    IN_PLACE,
    FOREIGN,
    KEEPS_GROUPS,
    FROZEN,
)
