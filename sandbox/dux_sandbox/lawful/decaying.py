"""The law about weight decay: it pulls once."""

from __future__ import annotations

from dux_sandbox.lawful.cases import Case
from dux_sandbox.lawful.law import MATRIX, Drawn, Law, case
from dux_sandbox.lawful.training import Training


def decay(training: Training, held: Case) -> None:
    """Weight decay pulls once: through the gradient or beside it."""
    weight = 0.125
    training.run(f"w = {held.parameters[0].text(0)}.detach()")
    training.run(
        "def moved(gradient, decay):\n"
        '    """How far one first step goes."""\n'
        "    p = torch.nn.Parameter(w.clone())\n"
        '    group = {"params": [p], "lr": 1e-3, "weight_decay": decay}\n'
        "    optimizer = factory([group])\n"
        "    p.grad = gradient.clone()\n"
        + (
            "    optimizer.step(lambda: (p.detach() * p.grad).sum())\n"
            if training.facts.by_closure
            else "    optimizer.step()\n"
        )
        + "    return p.detach() - w"
    )
    training.run(f"pull = {weight} * w")
    training.run(f"through = moved(-pull, {weight}), moved(-2 * pull, {weight})")
    training.claim(
        "not (through[1].abs().max() < 1e-3 * through[0].abs().max())",
        "the gradient must be twice the weight decay to balance it",
    )
    training.run("far = 20 * torch.sign(w) + 10")
    training.run(f"beside = moved(far, {weight}) - moved(far, 0.0)")
    training.run(f"alone = moved(0 * w, {weight}) - moved(0 * w, 0.0)")
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
        "abs(times.mean() - 1) > 0.1 or "
        "torch.allclose(alone, beside, rtol=0.3, atol=2e-5) or not alone.any()",
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
