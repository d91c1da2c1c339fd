"""`dux bench rubbish`: what a model that proposes rubbish can do to a training."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pydantic import PrivateAttr

from dux_agent.benchmarks.code_digest import code_digest
from dux_agent.benchmarks.family import names_of
from dux_agent.benchmarks.kept_rows import KeptRows
from dux_agent.benchmarks.table1.dux_rows import OFFLINE, dux_row
from dux_agent.benchmarks.table1.plain_rows import control, control_row
from dux_agent.benchmarks.table1.row import Asked, plainly
from dux_agent.runs.training import torch_threads, train
from dux_graphs.offline.model import WrittenModel

WITHIN = 0.05
WANTED = 0.95

_CLASS = """\
import torch


class Rubbish(torch.optim.Optimizer):
    def __init__(self, params, lr={rate:.3g}):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                n = state["n"] = state.get("n", 0) + 1
                g = p.grad
{formula}
"""
_FORMULAS = {
    "any rate": "p.add_(g, alpha=-group['lr'])",
    "any rate, signs": "p.add_(g.sign(), alpha=-group['lr'])",
    "wrong sign": "p.add_(g, alpha=group['lr'])",
    "wrong sign, signs": "p.add_(g.sign(), alpha=group['lr'])",
    "time bomb": "p.add_(g, alpha=-group['lr'] * (1.0 if n < {when} else 1e4))",
    "turns": "p.add_(g, alpha=group['lr'] * (-1.0 if n < {when} else 1.0))",
    "frozen": "p.add_(g, alpha=0.0)",
}


class RubbishModel(WrittenModel):
    """Proposes optimizers of no use: rates from 1e-6 to 1e2, wrong signs, time bombs.

    NOT a language model. The same seed proposes the same in the same order.
    """

    model_name: str = "rubbish"
    seed: int = 0
    _random: random.Random = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        """Begin to draw."""
        self._random = random.Random(self.seed)

    def answer(self, chat: Sequence[tuple[str, str]]) -> str:
        """One of them, whatever is asked."""
        draw = self._random
        kind = draw.choice(sorted(_FORMULAS))
        formula = _FORMULAS[kind].format(when=draw.randint(12, 60))
        rate = 10 ** draw.uniform(-6, 2)
        source = _CLASS.format(rate=rate, formula=" " * 16 + formula)
        return f"```python\n{source}```\n"


def tell(
    purpose: str, runs: int, folder: Path | None, say: Callable[[str], None]
) -> bool:
    """Train so many times under such a model, over the family's tasks in turn.

    Args:
        purpose: of the tasks: "train", "validation" or "test".
        runs: how many, each with a seed of its own.
        folder: keeps every training; None: none is kept.
        say: is told each figure.

    Returns:
        Whether 95 of 100 end within 5 % of their control, and none non-finite.

    Raises:
        BadArgument: there is no such purpose. DuxError: the folder cannot be written.
    """
    rows, names = KeptRows(folder), names_of(purpose)
    codes = control_row().code, dux_row(OFFLINE, "", OFFLINE).code
    code = [*codes, code_digest((__name__,))]
    near = finite = counted = 0
    with torch_threads(1):
        for seed in range(runs):
            # Neighbours differ in member and base.
            name = names[11 * seed % len(names)]
            key = {"task": name, "seed": seed, "code": code}
            alone, loss = rows.row(f"rubbish-{seed}", key, partial(_both, name, seed))
            if alone is None:
                continue  # there is nothing to be near to
            counted += 1
            finite += loss is not None
            close = loss is not None and loss <= alone + WITHIN * abs(alone)
            near += close
            said = "not finite" if loss is None else f"{loss:.4g}"
            mark = "" if close else ": far"
            say(f"{seed:3} {name:26} {said}, control {alone:.4g}{mark}")
    say(f"{near} of {counted} within {WITHIN:.0%} of the control, {finite} finite")
    return finite == counted and near >= WANTED * counted


def _both(name: str, seed: int) -> list[float | None]:
    """The final test losses of the control and of the run; None: not finite."""
    model = RubbishModel(seed=seed)
    loss = train(name, seed=seed, lm=model, execution="inline").epochs[-1].test
    alone = plainly(control)(Asked(name, seed, Path())).test[-1]
    return [each if math.isfinite(each) else None for each in (alone, loss)]
