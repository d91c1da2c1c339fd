"""Laws of long runs: what is kept is bounded, and rates may be live or scheduled."""

from dux_sandbox.laws.cases import Case
from dux_sandbox.laws.law import DECAYING, LR, MATRIX, Drawn, Law, case, listed
from dux_sandbox.laws.script import Raised, Unjudged
from dux_sandbox.laws.training import Training

_CLOSE = "rtol=1e-4, atol=1e-5"


def no_leak(training: Training, held: Case) -> None:
    """What an optimizer holds on to does not grow with the number of steps."""
    names = listed(training.names(held))
    training.script.use("held_bytes")
    training.begin(held)
    step = "optimizer.step()"
    if training.facts.by_closure:
        training.script.use("linear_loss")
        step = f"optimizer.step(linear_loss({names}))"
    training.run(
        "def steps(count):\n"
        "    for at in range(count):\n"
        f"        for p in ({names}):\n"
        "            p.grad = torch.ones_like(p) * (1 + at % 3)\n"
        f"        {step}"
    )
    training.run("sizes = []")
    # A window may fill up first.
    for count in (100, 50, 50):
        training.run(f"steps({count})")
        training.run("sizes.append(held_bytes(optimizer))")
    training.claim(
        "not sizes[0] < sizes[1] < sizes[2]",
        "what it holds on to grows with every step: bytes after 100, 150, 200 steps",
    )


NO_LEAK = Law(
    name="no_leak",
    claim="What a rule holds on to is bounded: 200 steps need no more than 150.",
    reason="A run has a million steps; what grows with each fills the memory, and the "
    "checkpoint, long after everybody has stopped looking.",
    catches="a history of losses or norms in the state, on `self` or on the class; a "
    "buffer that is appended to; a sum of losses that keeps every graph.",
    experiment=no_leak,
    corners=(case(MATRIX, (3,)),),
    drawn=Drawn(parameters=(1, 1), steps=(1, 1), shapes="vectors"),
    relaxed_by=("keeps-history",),
    most_drawn=2,
)


def tensor_lr(training: Training, held: Case) -> None:
    """A rate that is a tensor acts like the number, and stays what it is."""
    training.begin(held)
    training.begin(held, "2")
    training.set_option("lr", 0.1)
    training.run("lr = torch.tensor(0.1)")
    training.run('for group in optimizer2.param_groups: group["lr"] = lr')
    last = len(held.gradients) - 1
    pairs = (
        f"zip(({listed(training.names(held))}), ({listed(training.names(held, '2'))}))"
    )
    for rate in (0.1, 0.05):
        if rate != 0.1:
            training.set_option("lr", rate)
            training.run(f"lr.fill_({rate})")
        for step in range(last + 1):
            for suffix in ("", "2"):
                training.give(held, step, suffix)
            training.step(held)
            training.accuse()
            try:
                training.step(held, "2")
            except Raised as error:
                if _refuses_tensors(error.message):
                    raise Unjudged("it refuses rates that are tensors") from None
                raise
            training.claim(
                f"float(lr) == float(torch.tensor({rate}))",
                "the step changed the tensor that is the learning rate",
            )
        training.claim(
            f"all(torch.allclose(p, q, {_CLOSE}) for p, q in {pairs})",
            "with a tensor as learning rate it steps otherwise than with the number"
            if rate == 0.1
            else "a rate that was changed in place, in its tensor, is not taken up",
        )


def _refuses_tensors(message: str) -> bool:
    """Whether what was raised says that a rate may be no tensor."""
    if "ensor" not in message:
        return False
    about_a_rate = "lr" in message or "rate" in message
    refused = any(
        each in message for each in ("not supported", "not allowed", "must be")
    )
    return "ValueError" in message or (about_a_rate and refused)


TENSOR_LR = Law(
    name="tensor_lr",
    claim="A learning rate that is a tensor acts like the number, live, and is only "
    "read.",
    reason="`torch.compile` and CUDA graphs want a tensor that is changed in place; "
    "torch's own optimizers and schedulers take one.",
    catches="`lr = group['lr']; lr *= scale`, which for a tensor changes the rate of "
    "every step that follows; a rate converted once and kept.",
    experiment=tensor_lr,
    corners=(
        case(MATRIX, (3,), gradients="steady", steps=2),
        case(MATRIX, steps=2, options=(DECAYING,)),
        case(MATRIX, steps=2, options=((("lr", 0.05),),)),
    ),
    drawn=Drawn(steps=(1, 3)),
    needs="lr",
)


def scheduler(training: Training, held: Case) -> None:
    """Saved and loaded with its scheduler, a training goes on as if it had not been."""
    if not _resumes_plainly(training.apart(), held):
        raise Unjudged("it does not resume without one either: `checkpoint` says so")
    names = listed(training.names(held))
    second = listed(training.names(held, "2"))
    made = "torch.optim.lr_scheduler.LambdaLR(optimizer{}, lambda at: 0.5**at{})"
    training.begin(held)
    training.run(f"scheduler = {made.format('', '')}")
    for step in range(len(held.gradients)):
        if step == 2:
            training.run(
                "saved = copy.deepcopy((optimizer.state_dict(), "
                "scheduler.state_dict()))"
            )
            training.keep(held, into="kept")
            training.run("epoch = scheduler.last_epoch")
        training.give(held, step)
        training.step(held)
        training.run("scheduler.step()")
    training.make(held, "2")
    training.run(f"for p, q in zip(({second}), kept): p.data.copy_(q)")
    training.build(held, "2")
    training.accuse()
    if held.variant == "by epoch":
        # The older way: no state of the scheduler, but the epoch it had reached.
        training.run("optimizer2.load_state_dict(saved[0])")
        training.run(f"scheduler2 = {made.format('2', ', last_epoch=epoch - 1')}")
    else:
        training.run(f"scheduler2 = {made.format('2', '')}")
        training.run("optimizer2.load_state_dict(saved[0])")
        training.run("scheduler2.load_state_dict(saved[1])")
    for step in range(2, len(held.gradients)):
        training.give(held, step, "2")
        training.step(held, "2")
        training.run("scheduler2.step()")
    rates = '[g["lr"] for g in optimizer{}.param_groups]'
    training.claim(
        f"{rates.format('')} == {rates.format('2')}",
        "resumed with its scheduler, the learning rate is another",
    )
    training.claim(
        f"all(torch.allclose(p, q, {_CLOSE}) for p, q in zip(({names}), ({second})))",
        "resumed with its scheduler, the training goes on otherwise",
    )


def _resumes_plainly(training: Training, held: Case) -> bool:
    """Whether a training without a scheduler goes on the same from its checkpoint."""
    training.begin(held)
    training.train(held, until=2)
    training.run("saved = copy.deepcopy(optimizer.state_dict())")
    training.keep(held, into="kept")
    training.make(held, "2")
    names, second = (listed(training.names(held, suffix)) for suffix in ("", "2"))
    training.run(f"for p, q in zip(({second}), kept): p.data.copy_(q)")
    training.build(held, "2")
    training.run("optimizer2.load_state_dict(saved)")
    for suffix in ("", "2"):
        training.train(held, suffix, start=2)
    pairs = f"zip(({names}), ({second}))"
    alike = f"all(torch.allclose(p, q, {_CLOSE}) for p, q in {pairs})"
    return bool(training.script.look(alike))


SCHEDULER = Law(
    name="scheduler",
    claim="A training resumes together with its scheduler: same rates, same steps.",
    reason="Nearly every run has a schedule, and it lives in the groups: `lr` is what "
    "it has reached, `initial_lr` where it began.",
    catches="a `load_state_dict` that keeps the keys it knows and drops `initial_lr`; "
    "one that sets the rate of the constructor again; a base rate kept on `self`.",
    experiment=scheduler,
    corners=(
        case(MATRIX, (3,), steps=4),
        case(MATRIX, steps=4, variant="by epoch"),
        case(MATRIX, (3,), steps=4, groups=(0, 1), options=(LR, DECAYING)),
    ),
    drawn=Drawn(groups=2, steps=(3, 5), variants=("", "by epoch")),
    needs="lr",
)

LASTING_LAWS = (NO_LEAK, TENSOR_LR, SCHEDULER)
