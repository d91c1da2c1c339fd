"""The law about options: each group's act on that group, whenever they were set."""

from dataclasses import replace

from dux_sandbox.laws.alike import alike
from dux_sandbox.laws.cases import Case, Options
from dux_sandbox.laws.law import CALM, DECAYING, LR, MATRIX, Drawn, Law, case
from dux_sandbox.laws.script import Unjudged
from dux_sandbox.laws.training import Training

# option -> another value, and how many steps until it must show
_OTHER_VALUES: dict[str, tuple[object, int]] = {
    "lr": (0.03, 2),
    "weight_decay": (0.3, 3),
    "momentum": (0.5, 3),
    "alpha": (0.5, 3),
    "rho": (0.5, 3),
    "beta": (0.5, 4),
    "beta1": (0.5, 4),
    "beta2": (0.8, 8),
    "betas[0]": (0.5, 4),
    "betas[1]": (0.8, 8),
}


def options(training: Training, held: Case) -> None:
    """An option of a group acts on that group, whenever it was set."""
    kind, _, which = held.variant.partition(" ")
    option, _, place = which.partition(" ")
    if kind == "defaults":
        _defaults(training, held)
        return
    if kind == "alike":
        alike(training, held, int(which))
        return
    found = _value(training, option)
    if found is not None:
        _one_option(training, held, kind, *found, int(place or 0))
    elif option == "lr" and "lr" not in training.facts.options:
        training.claim("False", "the groups hold no `lr`: no scheduler can set it")
    else:
        raise Unjudged("the rule has no such option")


def _value(training: Training, option: str) -> tuple[str, object] | None:
    """The key of an option and another value for it; None where the rule has none."""
    key, _, position = option.partition("[")
    held = training.facts.options.get(key)
    value, _ = _OTHER_VALUES[option]
    if not position:
        number = training.facts.number(key)
        return None if number is None else (key, value if number != value else 0.7)
    at = int(position[:-1])
    if (
        not isinstance(held, tuple)
        or at >= len(held)
        or not isinstance(held[at], float)
    ):
        return None
    other = value if held[at] != value else 0.7
    return key, (*held[:at], other, *held[at + 1 :])


def _defaults(training: Training, held: Case) -> None:
    training.begin(held)
    training.train(held)
    training.begin(held, "2")
    training.run(
        "for name, value in optimizer2.defaults.items():\n"
        "    if isinstance(value, float):\n"
        "        optimizer2.defaults[name] = value / 3 + 0.01\n"
        "    if isinstance(value, int) and name != 'differentiable':\n"
        "        optimizer2.defaults[name] = (\n"
        "            not value if isinstance(value, bool) else value + 1)\n"
        "    if isinstance(value, tuple):\n"
        "        optimizer2.defaults[name] = (0.3,) * len(value)"
    )
    training.accuse()
    training.train(held, "2")
    for name in training.names(held):
        training.claim(
            f"torch.equal({name}, {name}2)",
            "a step reads `defaults`; the groups are what a scheduler can reach",
        )


def _one_option(
    training: Training, held: Case, kind: str, option: str, value: object, at: int
) -> None:
    if training.facts.line_search and held.group_count > 1:
        raise Unjudged("a line search has one step length for all groups")
    if option == "lr":
        # Steps of a fixed length come back to where they began when signs alternate.
        steady = ("steady",) * len(held.parameters)
        held = replace(held, gradients=(steady,) * len(held.gradients))
    if training.facts.nothing_left(held.parameters[held.members(at)[0]].shape):
        raise Unjudged("a rule that centres gradients leaves nothing of these")
    held = training.under_way(held)
    given = list(held.options)
    given[at] = _with(given[at], option, value)
    changed = replace(held, options=tuple(given))
    name = training.names(held)[held.members(at)[0]]
    if kind == "late":
        _in_mid_run(training, held, option, value, name)
        return
    training.begin(held)
    training.train(held)
    training.accuse()
    training.begin(changed, "2")
    training.train(changed, "2")
    if kind == "set":
        training.begin(held, "3")
        training.set_option(option, value, "3")
        training.train(held, "3")
        training.claim(
            f"torch.equal({name}2, {name}3)",
            f"it matters whether {option} is given at construction or set before the "
            f"first step",
        )
        return
    _acts_there(training, held, changed, option, at)


def _in_mid_run(
    training: Training, held: Case, option: str, value: object, name: str
) -> None:
    """Set it before the last step; the parameter of that name must notice."""
    # A rule that grows its own steps takes lr for the first of them only.
    training.begin(held)
    training.train(held, until=len(held.gradients) - 1)
    training.begin(held, "2")
    training.train(held, "2", until=len(held.gradients) - 1)
    last = len(held.gradients) - 1
    training.accuse()
    training.set_option(option, value, "2")
    acts = f"({name}2 - {name}).abs().max() > 0.05 * ({name} - before).abs().max()"
    # It may act one step late: ASGD works out the next rate at the end of a step.
    for _ in range(training.facts.idle + 2):
        training.run(f"before = {name}.detach().clone()")
        for suffix in ("", "2"):
            training.give(held, last, suffix)
            training.step(held, suffix)
        if training.script.look(acts):
            return
    if _grows(training, held, name):
        raise Unjudged("the rule sets its own step sizes")
    training.claim_moved(
        acts, f"a new {option} in the groups changes next to nothing in mid-run"
    )


def _acts_there(
    training: Training, held: Case, changed: Case, option: str, at: int
) -> None:
    """Of two trainings the one that differs in it must end elsewhere."""
    name = training.names(held)[held.members(at)[0]]
    if option == "lr":
        start = changed.parameters[held.members(at)[0]].text(held.members(at)[0])
        training.run(f"start = {start}")
        training.claim_moved(
            f"({name}2 - {name}).abs().max() > 0.1 * ({name} - start).abs().max()",
            f"a third of the lr of group {at} changes next to nothing there",
        )
        return
    if option in ("alpha", "beta", "rho") and training.facts.remembers:
        raise Unjudged("it may be of the average, which takes its time")
    if option in ("alpha", "rho") and training.facts.by_closure:
        raise Unjudged("it may say where the closure is called, and all is linear")
    unmoved = training.script.look(f"torch.equal({name}, {name}2)")
    # Decay turns a step that has a direction, were it of fixed length.
    straight = option != "weight_decay" or training.script.look(f"{name}.numel() == 1")
    if unmoved and straight and _fixed_length(training, held, name):
        raise Unjudged("its steps have one length, and these gradients one sign")
    training.claim(
        f"not torch.equal({name}, {name}2)",
        f"the {option} of group {at} changes nothing there",
    )


def _fixed_length(training: Training, held: Case, name: str) -> bool:
    """Whether the last step went equally far in every element, as signs do."""
    probe = training.apart()
    last = len(held.gradients) - 1
    probe.begin(held)
    probe.train(held, until=last)
    probe.run(f"before = {name}.detach().clone()")
    probe.train(held, start=last)
    probe.run(f"far = ({name} - before).detach().abs()")
    return bool(probe.script.look("far.max() - far.min() < 1e-3 * far.max()"))


def _grows(training: Training, held: Case, name: str) -> bool:
    """Whether the steps of a rule grow by themselves under a constant gradient."""
    probe = training.apart()
    idle, row = training.facts.idle, ("steady",) * len(held.parameters)
    constant = replace(held, gradients=(row,) * (idle + 3))
    probe.begin(constant)
    probe.train(constant, until=idle)
    paces = []
    for step in range(idle, idle + 3):
        probe.give(constant, step)
        probe.run(f"before = {name}.detach().clone()")
        probe.step(constant)
        paces.append(
            float(probe.script.look(f"({name} - before).detach().abs().max()"))
        )
    return paces[0] > 0 and paces[1] > 1.05 * paces[0] and paces[2] > 1.05 * paces[1]


def _with(given: Options, option: str, value: object) -> Options:
    return (*(pair for pair in given if pair[0] != option), (option, value))


OPTION_VARIANTS = (
    "defaults",
    "late lr",
    *(f"{kind} {option}" for option in _OTHER_VALUES for kind in ("given", "set")),
)


def _option_corner(option: str, at: int) -> Case:
    steps = _OTHER_VALUES[option][1]
    return case(
        MATRIX,
        MATRIX,
        steps=steps,
        groups=(0, 1),
        # Weight decay depends on lr too: it must not stand in for the step.
        options=(CALM, CALM) if option != "weight_decay" else (LR, LR),
        variant=f"given {option} {at}",
    )


OPTIONS = Law(
    name="options",
    claim="The options of each group are honoured, whenever they were set.",
    reason="Schedulers, layer-wise rates and weight decay without biases all work "
    "through the groups.",
    catches="a second group that is ignored or reads the first one's options; "
    "`defaults` or `self` read instead of the group; a rate taken at "
    "construction; an option that does nothing.",
    experiment=options,
    corners=(
        # A short run tries the first four.
        _option_corner("lr", 1),
        case(MATRIX, (3,), steps=4, options=((),), variant="defaults"),
        _option_corner("weight_decay", 1),
        case(MATRIX, steps=_OTHER_VALUES["lr"][1], variant="set lr"),
        *(
            case(MATRIX, steps=_OTHER_VALUES[o][1], variant=f"set {o}")
            for o in _OTHER_VALUES
            if o != "lr"
        ),
        *(
            _option_corner(option, at)
            for option in _OTHER_VALUES
            for at in (0, 1)
            if (option, at) not in (("lr", 1), ("weight_decay", 1))
        ),
        *(case(MATRIX, steps=7, variant=f"alike {place}") for place in range(16)),
        case(MATRIX, steps=4, options=(DECAYING,), variant="defaults"),
        *(
            case(shape, steps=4, options=(CALM,), variant="late lr")
            for shape in (MATRIX, (3, 1), (1, 3))
        ),
    ),
    drawn=Drawn(
        shapes="matrix",
        parameters=(1, 1),
        gradients=("mixed",),
        steps=(8, 9),
        variants=OPTION_VARIANTS,
        decaying=False,
    ),
    relaxed_by=("late-rate",),
)
