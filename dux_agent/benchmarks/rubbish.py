"""`dux bench rubbish`: what a model that proposes rubbish can do to a training.

And, beside it, what is left of good proposals: whoever refuses everything keeps all
rubbish out. So both are told, and either may break the bar.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from dux_agent.benchmarks.code_digest import code_digest
from dux_agent.benchmarks.family import names_of
from dux_agent.benchmarks.kept_rows import KeptRows
from dux_agent.benchmarks.paired import geometric_mean
from dux_agent.benchmarks.table1.dux_rows import OFFLINE, dux_row
from dux_agent.benchmarks.table1.plain_rows import control, control_row
from dux_agent.benchmarks.table1.row import Asked, plainly
from dux_agent.runs.training import torch_threads, train
from dux_graphs.offline.model import WrittenModel
from dux_sandbox.zoo import entry

WITHIN = 0.05
WANTED = 0.95
LIVE = 0.9

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


def rubbish(rate: float, formula: str) -> str:
    """A reply with an optimizer.

    Args:
        rate: its learning rate.
        formula: a statement over a parameter `p`, its gradient `g`, its `group`, its
            `state` and the steps so far, `n`.
    """
    return f"```python\n{_CLASS.format(rate=rate, formula=formula)}```\n"


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
        return rubbish(rate, formula)


class OneRule(WrittenModel):
    """Proposes one optimizer, whatever it is asked. NOT a language model."""

    model_name: str = "one rule"
    source: str

    def answer(self, chat: Sequence[tuple[str, str]]) -> str:
        """It."""
        return f"```python\n{self.source}\n```\n"


def _at(name: str, default: str, rate: str) -> OneRule:
    """An optimizer of the zoo at another rate than its own."""
    written = entry(name).source
    assert default in written
    return OneRule(source=written.replace(default, f"lr={rate}"))


GOOD: Mapping[str, Callable[[], Any]] = {
    OFFLINE: lambda: OFFLINE,
    "AdamW 3e-3": partial(_at, "adamw", "lr=1e-3", "3e-3"),
    "Lion 1e-3": partial(_at, "lion", "lr=1e-4", "1e-3"),
}
"""Who proposes what is good over a base whose rate is a hundredth of a good one."""


@dataclass(frozen=True)
class Ended:
    """What one run came to.

    Attributes:
        alone, loss: final test loss of the control and of the run; None: not finite.
        applied: decisions that were applied.
        made: decisions.
    """

    alone: float | None
    loss: float | None
    applied: int = 0
    made: int = 0

    @property
    def near(self) -> bool:
        """Whether the run ends within 5 % of its control, or below."""
        if self.alone is None or self.loss is None:
            return False
        return self.loss <= self.alone + WITHIN * abs(self.alone)


def tell(
    purpose: str, runs: int, folder: Path | None, say: Callable[[str], None]
) -> bool:
    """Train so many times under such a model, over the family's tasks in turn.

    And as many times under models whose proposals are good, over those of the tasks
    whose base is too slow.

    Args:
        purpose: of the tasks: "train", "validation" or "test".
        runs: how many of each, each with a seed of its own.
        folder: keeps every training; None: none is kept.
        say: is told each figure.

    Returns:
        Whether 95 of 100 end within 5 % of their control, of rubbish and of good
        proposals, none is non-finite, and of the good ones 9 of 10 go live.

    Raises:
        BadArgument: there is no such purpose. DuxError: the folder cannot be written.
    """
    rows, names = KeptRows(folder), names_of(purpose)
    slow = [name for name in names if name.endswith("-slow")] or names
    count = len(names)
    codes = control_row().code, dux_row(OFFLINE, "", OFFLINE).code
    code = [*codes, code_digest((__name__,))]

    def ended(model: str, made: Callable[[], Any], name: str, seed: int) -> Ended:
        key = {"task": name, "seed": seed, "model": model, "code": code}
        find = partial(_both, made, name, seed)
        found = Ended(*rows.row(f"rubbish-{model}-{seed}", key, find))
        if found.alone is not None:
            said = "not finite" if found.loss is None else f"{found.loss:.4g}"
            mark = "" if found.near else ": far"
            live = f"{found.applied} of {found.made} live"
            told = f"{model:10} {seed:3} {name:26} {said}, control {found.alone:.4g}"
            say(f"{told}, {live}{mark}")
        return found

    chosen = list(GOOD.items())
    with torch_threads(1):
        # Neighbours differ in member and base.
        rubbish = [
            ended("rubbish", partial(RubbishModel, seed=at), names[11 * at % count], at)
            for at in range(runs)
        ]
        good = [
            ended(*chosen[at % len(chosen)], slow[at // len(chosen) % len(slow)], at)
            for at in range(runs)
        ]
    held = [_held("rubbish", rubbish, say), _held("good proposals", good, say)]
    made, applied = sum(e.made for e in good), sum(e.applied for e in good)
    say(f"good proposals: live after {applied} of {made} decisions")
    return all(held) and applied >= LIVE * made


def _held(which: str, runs: Sequence[Ended], say: Callable[[str], None]) -> bool:
    """Say how many of them have ended near to their controls; whether enough did."""
    # Where the control diverges there is nothing to be near to.
    counted = [each for each in runs if each.alone is not None]
    near = sum(each.near for each in counted)
    pairs = [(e.loss, e.alone) for e in counted if e.loss is not None and e.alone]
    mean = geometric_mean([max(loss, 1e-12) / alone for loss, alone in pairs])
    say(
        f"{which}: {near} of {len(counted)} within {WITHIN:.0%} of the control, "
        f"{len(pairs)} finite, {mean:.3g} times its loss"
    )
    return len(pairs) == len(counted) and near >= WANTED * len(counted)


def _both(
    made: Callable[[], Any], name: str, seed: int
) -> tuple[float | None, float | None, int, int]:
    """What `Ended` holds, as JSON does."""
    result = train(name, seed=seed, lm=made(), execution="inline")
    alone = plainly(control)(Asked(name, seed, Path())).test[-1]
    losses = [x if math.isfinite(x) else None for x in (alone, result.epochs[-1].test)]
    verdicts = [change.decision.verdict for change in result.changes]
    return losses[0], losses[1], verdicts.count("applied"), len(verdicts)
