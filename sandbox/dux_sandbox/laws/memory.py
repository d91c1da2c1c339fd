"""Laws about what a rule remembers: checkpoints, copies, and the same run again."""

from dux_sandbox.laws.cases import DTYPES, Case
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
from dux_sandbox.laws.training import Training

_SAVED_AFTER = 2  # steps until a checkpoint is made


def checkpoint(training: Training, held: Case) -> None:
    """What is saved and loaded goes on as if nothing had been."""
    names = training.names(held)
    _save(training, held)
    if held.variant.startswith("same"):
        training.train(held, start=_SAVED_AFTER)
        training.keep(held, into="reached")
        training.accuse()
        training.run("optimizer.load_state_dict(saved)")
        training.run(f"for p, q in zip(({listed(names)}), kept): p.data.copy_(q)")
        training.train(held, start=_SAVED_AFTER)
        pairs = f"zip(({listed(names)}), reached)"
    else:
        training.accuse()
        _load_into_another(training, held)
        # The first training goes on as well: saving is only looking.
        training.train(held, start=_SAVED_AFTER)
        training.train(held, "2", start=_SAVED_AFTER)
        pairs = f"zip(({listed(names)}), ({listed(training.names(held, '2'))}))"
    loose = any(each.dtype == "bfloat16" for each in held.parameters)
    bounds = "rtol=2e-2, atol=2e-2" if loose else "rtol=1e-5, atol=1e-6"
    training.claim(
        f"all(torch.allclose(p, q, {bounds}) for p, q in {pairs})",
        "saved and loaded, the next step is another",
    )


def _save(training: Training, held: Case) -> None:
    """Train, set some options on the way, and save."""
    training.begin(held)
    if held.variant.endswith("grown"):
        # One more group than the factory makes; it has to be made anew as well.
        training.run("d = torch.nn.Parameter(torch.ones(2, 2))")
        training.run('optimizer.add_param_group({"params": [d]})')
        training.run("d.grad = torch.ones(2, 2)")
    training.train(held, until=_SAVED_AFTER)
    for option, value in (("lr", 0.05), ("weight_decay", 0.2)):
        if training.facts.number(option) is not None:
            training.set_option(option, value)
    if training.facts.number("momentum"):
        training.set_option("momentum", 0.8)
    if isinstance(training.facts.options.get("betas"), tuple):
        training.run(
            'for group in optimizer.param_groups: group["betas"] = '
            'tuple(0.9 * beta for beta in group["betas"])'
        )
    if held.variant.endswith("grown"):
        training.run("d.grad = None")
    training.run("saved = copy.deepcopy(optimizer.state_dict())")
    training.keep(held, into="kept")


def _load_into_another(training: Training, held: Case) -> None:
    """Make the whole training anew, with the weights and the state that were saved."""
    told = "[[g.get(name) for name in {}] for g in optimizer{}.param_groups]"
    training.run(f"options = {told.format(KNOWN_OPTIONS, '')}")
    # Values are copied, not tensors: deepcopy would keep what a rule hung on them.
    training.make(held, "2")
    second = listed(training.names(held, "2"))
    training.run(f"for p, q in zip(({second}), kept): p.data.copy_(q)")
    training.build(held, "2")
    if held.variant.endswith("grown"):
        training.run("d2 = torch.nn.Parameter(d.detach().clone())")
        training.run('optimizer2.add_param_group({"params": [d2]})')
    training.run("optimizer2.load_state_dict(saved)")
    training.script.use("same")
    training.claim(
        'same(saved["state"], optimizer2.state_dict()["state"])',
        "the state is another after it was saved and loaded",
    )
    training.claim(
        f"options == {told.format(KNOWN_OPTIONS, '2')}",
        "an option of a group is another after it was saved and loaded",
    )


CHECKPOINT = Law(
    name="checkpoint",
    claim="state_dict and load_state_dict keep everything: the next step is the same, "
    "in a new optimizer and in the one that was saved.",
    reason="Runs are stopped and resumed; torch saves `state` and `param_groups`, and "
    "nothing else.",
    catches="step counts, buffers or generators on `self`; state keyed by `id(p)`; "
    "references to the state of before the load; a state of another dtype than its "
    "parameter; rates that are not taken over; a `state_dict` that empties what it "
    "saves.",
    experiment=checkpoint,
    corners=(
        case(MATRIX, (3,), steps=4, options=(DECAYING,)),
        case(MATRIX, (3,), steps=4, variant="same"),
        case(MATRIX, (), steps=4, gradients="steady"),
        case(MATRIX, (), steps=4, gradients="steady", variant="same"),
        case(MATRIX, steps=4, dtype="float64"),
        case(MATRIX, steps=4, dtype="bfloat16"),
        case(MATRIX, (3,), steps=5, variant="grown"),
        case(MATRIX, steps=10, gradients="steady"),
        case(MATRIX, (3,), steps=4, groups=(0, 1), options=(LR, DECAYING)),
        case(
            MATRIX,
            (3,),
            gradients=(
                ("mixed", "none"),
                ("none", "none"),
                ("mixed", "mixed"),
                ("mixed", "mixed"),
            ),
        ),
    ),
    drawn=Drawn(
        gradients=("mixed", "steady", "sparse", "none"),
        dtypes=("float32", "float64"),
        groups=2,
        steps=(3, 6),
        variants=("", "same", "grown"),
    ),
)


def copies(training: Training, held: Case) -> None:
    """A state can be copied and pickled, and the copy holds the same."""
    training.begin(held)
    training.train(held)
    training.accuse()
    training.script.use("same")
    training.run("state = optimizer.state_dict()")
    training.run("copied = copy.deepcopy(state)")
    training.run("pickled = pickle.loads(pickle.dumps(state))")
    training.claim(
        "same(state, copied)", "a deepcopy of the state holds something else"
    )
    training.claim(
        "same(state, pickled)", "the state is not what it was before pickling"
    )


COPIES = Law(
    name="copies",
    claim="deepcopy and pickle keep the state.",
    reason="Checkpoints are pickles, and snapshots are deep copies.",
    catches="functions, generators or objects without a pickle in the state; state "
    "that hangs on a graph; dictionaries keyed by tensors.",
    experiment=copies,
    corners=(case(MATRIX, (3,)), case(MATRIX, steps=0), case((), dtype="float64")),
    drawn=Drawn(dtypes=DTYPES, groups=2, gradients=("mixed", "none", "zeros")),
)


def deterministic(training: Training, held: Case) -> None:
    """Two rules side by side on the same values do the same."""
    poisoned = held.variant == "poisoned"
    training.begin(held)
    if poisoned:
        training.train(held)
        # torch fills memory that is not written to with NaN in this mode.
        training.run("torch.use_deterministic_algorithms(True, warn_only=True)")
        training.begin(held, "2")
        training.train(held, "2")
        training.run("torch.use_deterministic_algorithms(False)")
    else:
        training.begin(held, "2")
        for step in range(len(held.gradients)):
            for suffix in ("", "2"):
                training.give(held, step, suffix)
                training.step(held, suffix)
    for name in training.names(held):
        training.claim(
            f"torch.equal({name}, {name}2)",
            "it depends on memory that nobody wrote to"
            if poisoned
            else "two optimizers of the same kind, on the same values, do not agree",
        )


DETERMINISTIC = Law(
    name="deterministic",
    claim="The same inputs, random state included, give the same outputs; two rules of "
    "one class share nothing.",
    reason="A run that cannot be repeated cannot be debugged.",
    catches="counters and buffers on the class or in a default argument; `torch.empty` "
    "read before it is written; entropy from clocks, addresses or hashes.",
    experiment=deterministic,
    corners=(
        case(MATRIX, (3,)),
        case(MATRIX, (3,), gradients="steady", steps=4),
        case(MATRIX, (), variant="poisoned"),
    ),
    drawn=Drawn(
        gradients=("mixed", "none", "steady"), groups=2, variants=("", "poisoned")
    ),
)

MEMORY_LAWS = (CHECKPOINT, COPIES)
