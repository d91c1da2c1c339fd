"""`dux bench family`: the offline rules beside the control and a fixed recipe.

The recipe asks nobody: the base optimizer for a fifth of the run, then AdamW at 1e-2,
1e-2, a third and a tenth of it. All three begin with the same weights and see the same
batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import torch

from dux_agent import tasks
from dux_agent.benchmarks.code_digest import code_digest
from dux_agent.benchmarks.kept_rows import KeptRows
from dux_agent.benchmarks.paired import Paired, geometric_mean
from dux_agent.errors import BadArgument
from dux_agent.runs.training import torch_threads, train
from dux_agent.tasks.family.members import Purpose, names_for
from dux_agent.tasks.protocol import Task

RECIPE = (1e-2, 1e-2, 1e-2 / 3, 1e-3)
PURPOSES = ("train", "validation", "test")
_TASKS = ("dux_agent.tasks", __name__)
_RUNS = (
    *("dux_agent.runs", "dux_agent.live", "dux_agent.deciding", "dux_agent.training"),
    *("dux_graphs", "dux_prompts", "dux_sandbox"),
)


@dataclass(frozen=True)
class Compared:
    """What came of one task.

    Attributes:
        task: its name, with its base.
        offline, recipe: their final test losses beside the control's.
    """

    task: str
    offline: Paired
    recipe: Paired

    def __str__(self) -> str:
        ours, script = self.offline.ratio, self.recipe.ratio
        if ours is None or script is None:
            return f"{self.task:26} its control diverged"
        mean, half = self.offline.change
        return (
            f"{self.task:26} offline {ours:6.3f}  recipe {script:6.3f}  "
            f"change {100 * mean:+7.1f} % ± {100 * half:.1f}: {self.offline.word}"
        )


def compare(
    names: Sequence[str], seeds: int, folder: Path | None
) -> Iterator[Compared]:
    """Train every task by all three, seed by seed; what a folder keeps is read.

    Raises:
        DuxError: the folder cannot be written.
    """
    rows = KeptRows(folder)
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    with torch_threads(1):
        # Seeds first, so that what was ended early says something of every task.
        for seed in range(seeds):
            for name in names:
                found[name].append(
                    [_row(rows, name, seed, how) for how in ("control", *_METHODS)]
                )
    for name in names:
        controls, *others = zip(*found[name], strict=True)
        recipe, offline = (Paired(losses, controls) for losses in others)
        yield Compared(name, offline, recipe)


def tell(
    purpose: str, seeds: int, folder: Path | None, say: Callable[[str], None]
) -> bool:
    """Compare the family's tasks of that purpose, and say each figure.

    Returns:
        Whether no task ends worse than its control, and the recipe is beaten.

    Raises:
        BadArgument: there is no such purpose. DuxError: as for `compare`.
    """
    if purpose not in PURPOSES:
        raise BadArgument(
            f"--suite is {purpose!r}; one of {', '.join(PURPOSES)} was wanted; write "
            f"for instance --suite test."
        )
    done = list(compare(names_for(cast(Purpose, purpose)), seeds, folder))
    for each in done:
        say(str(each))
    means = [
        geometric_mean([ratio for ratio in ratios if ratio is not None])
        for ratios in zip(
            *((c.offline.ratio, c.recipe.ratio) for c in done), strict=True
        )
    ]
    worse = [each.task for each in done if each.offline.word == "worse"]
    say(f"geometric mean: offline {means[0]:.3f}, recipe {means[1]:.3f}")
    say(f"worse than the control: {', '.join(worse) or 'none'}")
    return not worse and means[0] < means[1]


def _row(rows: KeptRows, name: str, seed: int, how: str) -> float:
    key = {"task": name, "seed": seed, "method": how, "code": _code(how)}
    find = _METHODS.get(how, _control)
    loss = rows.row(f"{name}-{how}-{seed}", key, lambda: _or_none(find(name, seed)))
    return math.nan if loss is None else float(loss)


@cache
def _code(how: str) -> str:
    return code_digest(_TASKS + (_RUNS if how == "offline" else ()), ("torch",))


def _or_none(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None


def _control(name: str, seed: int) -> float:
    return _trained(tasks.build(name, seed), ())


def _recipe(name: str, seed: int) -> float:
    return _trained(tasks.build(name, seed), RECIPE)


def _offline(name: str, seed: int) -> float:
    return train(name, seed=seed, execution="inline").epochs[-1].test


_METHODS = {"recipe": _recipe, "offline": _offline}


def _trained(task: Task, rates: Sequence[float]) -> float:
    """The final test loss of five fifths, the first with the base optimizer.

    Args:
        rates: of AdamW in the other four; none: the base optimizer goes on.
    """
    optimizer = task.base_optimizer()
    fifth = math.ceil(task.epochs * task.steps_per_epoch / 5)
    step = 0
    for epoch in range(task.epochs):
        for batch in task.train_batches(epoch):
            if rates and step == fifth:
                optimizer = torch.optim.AdamW(task.model.parameters())
            if rates and step >= fifth:
                optimizer.param_groups[0]["lr"] = rates[min(3, step // fifth - 1)]
            optimizer.zero_grad()
            task.objective(task.model, batch).backward()
            optimizer.step()
            step += 1
    return task.evaluate("test")
