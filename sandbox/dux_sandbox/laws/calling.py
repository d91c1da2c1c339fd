"""Laws about calls: closures, zero_grad, and what a step leaves in the process."""

from dux_sandbox.laws.cases import DTYPES, Case
from dux_sandbox.laws.law import DECAYING, LR, MATRIX, Drawn, Law, case, listed
from dux_sandbox.laws.training import Training


def closure(training: Training, held: Case) -> None:
    """step(closure) evaluates it, uses its gradients, and returns its loss."""
    names = listed(training.names(held))
    if not training.facts.by_closure:
        control = training.apart()
        control.begin(held)
        control.train(held)
    training.accuse()
    training.begin(held)
    training.run(
        "losses, points = [], []\n"
        "def closure():\n"
        "    optimizer.zero_grad()\n"
        f"    loss = sum(((p + 0.5) ** 2).sum() for p in ({names}))\n"
        "    loss.backward()\n"
        "    losses.append(float(loss.detach()))\n"
        f"    points.append([p.detach().clone() for p in ({names})])\n"
        "    return loss"
    )
    # Left over from the step before, as in any loop but at its first step.
    training.give(held, 0)
    training.seed()
    training.run("result = optimizer.step(closure)")
    training.claim("losses", "the closure was never called")
    training.claim(
        "not any(all(map(torch.equal, one, two)) for one, two in "
        "zip(points, points[1:]))",
        "the closure was called twice at the same point",
    )
    training.claim("result is not None", "step(closure) returned no loss")
    training.claim(
        "float(result) == losses[0]",
        "step(closure) returned another loss than the closure did at first",
    )
    training.claim("torch.is_grad_enabled()", "gradients are switched off afterwards")
    training.run(f"reached = [p.detach().clone() for p in ({names})]")
    for _ in range(2):
        training.run("calls = len(losses)")
        training.seed()
        training.run("result = optimizer.step(closure)")
        training.claim("len(losses) > calls", "a later step never called the closure")
        training.claim(
            "result is not None and float(result) == losses[calls]",
            "a later step returned another loss than the closure did at first",
        )
    if not training.facts.by_closure and not training.facts.line_search:
        _as_without_one(training, held)


def _as_without_one(training: Training, held: Case) -> None:
    second = listed(training.names(held, "2"))
    training.begin(held, "2")
    training.run(f"sum(((p + 0.5) ** 2).sum() for p in ({second})).backward()")
    training.seed()
    training.run("optimizer2.step()")
    training.claim(
        f"all(map(torch.equal, reached, ({second})))",
        "the step is another than with the same gradients and no closure",
    )


CLOSURE = Law(
    name="closure",
    claim="step(closure) calls the closure with gradients on, uses what it computes, "
    "and returns its loss.",
    reason="Lightning, AMP wrappers and line searches pass one and log its loss.",
    catches="a closure that is dropped, called too late, twice or without "
    "`torch.enable_grad`; a loss that is not returned.",
    experiment=closure,
    corners=(case(MATRIX, (3,), options=(DECAYING,)), case(())),
    drawn=Drawn(groups=2),
)


def bare_step(training: Training, held: Case) -> None:
    """step() needs no closure."""
    held = training.under_way(held)
    training.begin(held)
    training.accuse()
    names = listed(training.names(held))
    training.run(f"path = [[p.detach().clone() for p in ({names})]]")
    for step in range(len(held.gradients)):
        training.give(held, step)
        training.seed()
        training.run("result = optimizer.step()")
        training.claim("result is None", "step() returned a loss that nobody computed")
        training.run(f"path.append([p.detach().clone() for p in ({names})])")
    if all(training.facts.nothing_left(each.shape) for each in held.parameters):
        return
    training.require_rate(held)
    training.claim_moved(
        "not all(all(map(torch.equal, now, path[0])) for now in path)",
        "step() without a closure moves nothing",
    )


BARE_STEP = Law(
    name="bare_step",
    claim="step() works without a closure.",
    reason="It is how nearly every loop calls it.",
    catches="a closure that is called without a look whether there is one; a loss that "
    "is unbound without it (a rule that must have one declares `needs-closure`).",
    experiment=bare_step,
    corners=(case(MATRIX, (3,)), case(MATRIX, options=((),)), case((1, 1))),
    drawn=Drawn(groups=2),
    relaxed_by=("needs-closure",),
)


def zero_grad(training: Training, held: Case) -> None:
    """zero_grad forgets the gradients and does nothing else."""
    names = training.names(held)
    training.begin(held)
    training.begin(held, "2")
    training.accuse()
    for step in range(len(held.gradients)):
        training.give(held, step)
        training.give(held, step, "2")
        training.step(held)
        training.step(held, "2")
        training.run(f"optimizer2.zero_grad(set_to_none={bool(step % 2)})")
        training.claim(
            f"all(p.grad is None or not p.grad.any() for p in "
            f"({listed(training.names(held, '2'))}))",
            "a gradient is left after zero_grad",
        )
    training.claim(
        f"all(map(torch.equal, ({listed(names)}), "
        f"({listed(training.names(held, '2'))})))",
        "zero_grad changes more than gradients",
    )


ZERO_GRAD = Law(
    name="zero_grad",
    claim="zero_grad clears the gradients and touches nothing else.",
    reason="It is called at other times than steps: twice, never, between two losses.",
    catches="state that is reset with the gradients; groups that are forgotten.",
    experiment=zero_grad,
    corners=(case(MATRIX, (3,), groups=(0, 1), options=(LR, LR)),),
    drawn=Drawn(groups=2, gradients=("mixed", "none")),
)


def rng(training: Training, held: Case) -> None:
    """A step neither draws from the global random numbers nor depends on them."""
    for suffix, seed in (("", 1), ("2", 2)):
        training.run(f"torch.manual_seed({seed})")
        training.run(f"random.seed({seed})")
        training.run("drawn = torch.get_rng_state(), random.getstate()")
        # No `begin`: it would seed.
        training.make(held, suffix)
        names = listed(training.names(held, suffix))
        training.run(f"optimizer{suffix} = factory([{names}])")
        for step in range(len(held.gradients)):
            training.give(held, step, suffix)
            if training.facts.by_closure:
                training.script.use("linear_loss")
                call = f"linear_loss({names})"
                training.run(f"optimizer{suffix}.step({call})")
            else:
                training.run(f"optimizer{suffix}.step()")
        training.run(f"optimizer{suffix}.zero_grad()")
        training.run(
            f"optimizer{suffix}.load_state_dict(optimizer{suffix}.state_dict())"
        )
        training.claim(
            "torch.equal(drawn[0], torch.get_rng_state())",
            "the rule draws from torch's global random numbers",
        )
        training.claim(
            "drawn[1] == random.getstate()",
            "the rule draws from Python's global random numbers",
        )
    for name in training.names(held):
        training.claim(
            f"torch.equal({name}, {name}2)",
            "the step depends on the global random numbers",
        )


RNG = Law(
    name="rng",
    claim="The global random numbers are left alone.",
    reason="Whoever draws from them shuffles the user's data and dropout differently.",
    catches="noise from `torch.randn` without a generator; `torch.manual_seed` or "
    "`random` in a rule (a rule that must draw declares `stochastic`).",
    experiment=rng,
    corners=(case(MATRIX, (3,)), case((), steps=6), case(MATRIX, dtype="bfloat16")),
    drawn=Drawn(gradients=("mixed", "zeros", "none"), dtypes=DTYPES),
    relaxed_by=("stochastic",),
)


def surroundings(training: Training, held: Case) -> None:
    """Nothing that the whole process shares is changed."""
    training.script.use("modes")
    training.run("before = modes()")
    training.begin(held)
    for step in range(len(held.gradients)):
        training.give(held, step)
        training.step(held)
        training.claim(
            "before == modes()", "a mode of the whole process is another now"
        )
    training.run("optimizer.state_dict()")
    training.run("optimizer.zero_grad()")
    training.claim("before == modes()", "a mode of the whole process is another now")


SURROUNDINGS = Law(
    name="surroundings",
    claim="Grad mode, default dtype, threads and other global modes stay as they are.",
    reason="They belong to the program, and an optimizer is a guest in it.",
    catches="`torch.set_grad_enabled(False)` that is never taken back; "
    "`torch.set_default_dtype`, `torch.set_num_threads`, deterministic mode.",
    experiment=surroundings,
    corners=(case(MATRIX, (3,)),),
    drawn=Drawn(groups=2, steps=(1, 3)),
)

CALLING_LAWS = (CLOSURE, BARE_STEP, ZERO_GRAD, RNG, SURROUNDINGS)
