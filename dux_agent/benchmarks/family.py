"""`dux bench family`: the offline rules beside the control and a fixed recipe.

Three rows of `dux bench table1`. The recipe asks nobody: the base optimizer for a fifth
of the run, then AdamW at 1e-2, 1e-2, a third and a tenth of it. All three begin with
the same weights and see the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from dux_agent.benchmarks.paired import Paired, geometric_mean
from dux_agent.benchmarks.table1.named_rows import TABLE1
from dux_agent.benchmarks.table1.table import make_table
from dux_agent.errors import BadArgument
from dux_agent.tasks.family.members import Purpose, names_for

PURPOSES = ("train", "validation", "test")


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
    rows = ("recipe", "offline")
    tasks = dict.fromkeys(names, range(seeds))
    found = make_table(TABLE1, rows, tasks=tasks, folder=folder)
    for name in names:
        recipe, offline = (found.paired(name, row) for row in rows)
        assert recipe is not None and offline is not None
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
    done = list(compare(names_of(purpose), seeds, folder))
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


def names_of(purpose: str) -> list[str]:
    """The family's tasks of that purpose, with every base. Raises BadArgument."""
    if purpose not in PURPOSES:
        raise BadArgument(
            f"--suite is {purpose!r}; one of {', '.join(PURPOSES)} was wanted; write "
            f"for instance --suite test."
        )
    return names_for(cast(Purpose, purpose))
