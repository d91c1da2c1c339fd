"""Rubbish costs its limits, and no more, for as long as it is proposed."""

import random
import time

import pytest
from pydantic import PrivateAttr

from dux_agent.benchmarks.rubbish import rubbish
from dux_agent.engines.processes import Process
from dux_agent.engines.workers import Workers
from dux_agent.evolving.asking import OPERATORS
from dux_agent.evolving.evolve import evolve
from dux_agent.evolving.reading import read_search
from dux_graphs.offline.model import WrittenModel
from dux_sandbox.zoo import entry
from tests.evolving.test_evolve import _plan

_FORMULAS = (
    "p.add_(g, alpha=group['lr'])",  # up the hill
    "p.add_(g, alpha=-1e4 * group['lr'])",
    "p.add_(g, alpha=-1e-9 * group['lr'])",
    "p.add_(g / 0.0, alpha=float(n > {when}))",
    "p.add_(g, alpha=group['lr'] * (1e4 if n > {when} else -1.0))",
    "p.add_(g[100000 * {when}])",
    "p.add_(g.view(-1, 7), alpha={when}.0)",
    "p.grad.mul_({when})",
    "p.data = torch.zeros({when})",
    "state['n'] = state if n > {when} else n",
    "self.param_groups.append(group if n > {when} else dict(group))",
    "self.step() if n > {when} else None",
    "p.copy_(torch.randn_like(p), {when} > n)",
    "raise ValueError('rubbish ' * {when})",
)
_DEAR = (
    "while n > 0: n = n + {when}",  # hangs
    "while n > {when}: n = n + 1",  # hangs in a training, or in the dry run
    "state['all'] = [torch.ones(1 << 28) * {when} for _ in range(1 << 12)]",
    "p.mul_(torch.linalg.svd(torch.ones(6000, 6000) * {when})[1][0])",
)
_NO_OPTIMIZER = (
    "I would rather not, for the {when}th time.",
    "```python\nimport os; os.kill({when}, 9)\n```",
    "```python\nclass A:\n    x = {when}\n```",
    "```python\ndef step(:{when}\n```",
    "```python\n" + "(" * 4000 + "{when}" + ")" * 4000 + "\n```",
)
_PROPOSALS = 300
_BUDGET = 24  # of each search; a longer one soon asks for less of it
_SECONDS = 20.0  # a training, or a law, may take
_ENDING = 60.0  # seconds, in which a process is ended on any machine


class _Rubbish(WrittenModel):
    """Draws from all of that; the same in the same order."""

    model_name: str = "rubbish"
    _asked: int = PrivateAttr(0)

    @property
    def asked(self):
        return self._asked

    def answer(self, chat):
        self._asked += 1
        draw = random.Random(self._asked)
        when = draw.randint(2, 40)
        if draw.random() < 0.15:
            return draw.choice(_NO_OPTIMIZER).replace("{when}", str(when))
        if draw.random() < 0.05:
            return f"A twin.\n```python\n{entry('adam').source}```"
        formulas = _DEAR if draw.random() < 0.15 else _FORMULAS
        formula = draw.choice(formulas).replace("{when}", str(when))
        rate = 10 ** draw.uniform(-1, 3)
        return rubbish(rate, formula)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_rubbish_outlives_its_limit_and_the_best_stays_the_tuned_baseline(tmp_path):
    model, overrun = _Rubbish(), []

    class Timed(Process):
        def answer(self, asked, seconds):
            began = time.monotonic()
            try:
                return super().answer(asked, seconds)
            finally:
                overrun.append(time.monotonic() - began - seconds)

    def engine(count, *, most_bytes, say):
        return Workers(lambda: Timed(most_bytes), count, say=say)

    searches = 0
    while model.asked < _PROPOSALS:
        searches += 1
        plan = _plan(
            model="rubbish",
            start=("adamw",),
            budget=_BUDGET,
            seed=searches,
            validation_seeds=3,
            report_seeds=5,
            trial_seconds=_SECONDS,
            trial_bytes=1 << 33,
        )
        folder = evolve(plan, tmp_path / f"{searches}", lm=model, engine=engine)
        told = read_search(folder)
        bred = [row for row in told.rows if row.operator in OPERATORS]
        assert bred
        assert told.reported()["search"].row not in bred
        assert "None beats the best tuned baseline, adamw" in told.verdict()

    assert max(overrun) < _ENDING
