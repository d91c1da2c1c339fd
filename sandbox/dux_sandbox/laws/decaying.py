"""The law about weight decay: it pulls once."""

from dux_sandbox.laws.cases import Case
from dux_sandbox.laws.law import MATRIX, Drawn, Law, case
from dux_sandbox.laws.training import Training


def decay(training: Training, held: Case) -> None:
    """Weight decay pulls once: through the gradient or beside it."""
    weight, idle = 0.125, training.facts.idle
    step = "    optimizer.step()\n"
    if training.facts.by_closure:
        step = "    optimizer.step(lambda: (p.detach() * p.grad).sum())\n"
    training.run(f"w = {held.parameters[0].text(0)}.detach()")
    training.run(
        "def moved(gradient, decay):\n"
        '    """How far the first step goes that goes anywhere."""\n'
        "    p = torch.nn.Parameter(w.clone())\n"
        '    group = {"params": [p], "lr": 1e-3, "weight_decay": decay}\n'
        "    optimizer = factory([group])\n"
        "    p.grad = gradient.clone()\n"
        + (f"    for _ in range({idle}):\n    {step}" if idle else "")
        + "    before = p.detach().clone()\n"
        + step
        + "    return p.detach() - before"
    )
    training.run(f"pull = {weight} * w")
    training.run(f"through = moved(-pull, {weight}), moved(-2 * pull, {weight})")
    # A rule that takes half of a gradient and the whole decay beside it is balanced
    # there as well: two runs that differ in decay alone tell how often it acts.
    training.run(f"alone = moved(0 * w, {weight}) - moved(0 * w, 0.0)")
    training.run("once = torch.allclose(alone, -1e-3 * pull, rtol=0.1)")
    training.claim(
        "once or not (through[1].abs().max() < 1e-3 * through[0].abs().max())",
        "the gradient must be twice the weight decay to balance it",
    )
    training.run("far = 20 * torch.sign(w) + 10")
    training.run(f"beside = moved(far, {weight}) - moved(far, 0.0)")
    training.run(
        "times, gain = beside / (-1e-3 * pull), moved(far, 0.0) / (-1e-3 * far)"
    )
    # Only where the pull is the same for every weight can it be counted.
    if not bool(training.script.look("times.std() < 0.05 * times.mean()")):
        return
    training.claim(
        "not any(abs(times.mean() / each - 2) < 0.1 for each in (1, gain.mean()))"
        " or abs(times.mean() - 1) < 0.1 or abs(times.mean() - gain.mean()) < 0.1",
        "weights decay by 2 * lr * weight_decay in one step",
    )
    training.claim(
        # Less of it alone is decay that depends on the direction, not more decay.
        "abs(times.mean() - 1) > 0.1 or "
        "(alone.abs() <= 1.3 * beside.abs() + 2e-5).all()",
        "weight decay acts beside the gradient and once more through it",
    )


DECAY = Law(
    name="decay",
    claim="Weight decay is applied once.",
    reason="Twice is a factor of two in the one option that most people tune, and "
    "nobody sees it in a loss.",
    catches="decay added to the gradient and subtracted from the weight as well; a "
    "decay that both a base class and its child apply.",
    experiment=decay,
    corners=(case(MATRIX), case((5,))),
    drawn=Drawn(shapes="vectors", parameters=(1, 1), steps=(1, 1)),
    needs="weight_decay",
)
