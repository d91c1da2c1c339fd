"""Race one proposal at rates a factor apart, before it takes over from the base."""

import ast
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dux_graphs.proposals import Brief
from dux_graphs.search.best_dry_run import first_prompt
from dux_graphs.search.strategy import Attempt, Outcome, Request, final_loss
from dux_prompts.observation import Observation

TIMES = (3.0, 1.0 / 3.0)
"""The rates that a proposal's own is raced against, the more useful one first."""

_LAST = 3
_AS_GOOD = 0.1
# Short runs flatter low rates. Of 24 first decisions on tasks that count as train or
# validation, the lowest loss after ten steps chose a rate that ended 1.16 times as high
# as the proposal's own (39 times at worst), and this rule one that ended at 0.88 of it
# (1.35 at worst; 0.98 without the best).


@dataclass(frozen=True)
class RateRace:
    """One proposal a try, tried at other rates too while the base optimizer is live.

    It costs no call: the default of `lr` is written anew in its source. The highest
    rate counts whose last losses lie within a tenth of those of the proposal's own.

    Attributes:
        brief: writes the prompts.
        times: what its rate is multiplied by.
    """

    brief: Brief
    times: tuple[float, ...] = TIMES

    @property
    def lanes(self) -> int:
        """Its own rate, and the others."""
        return 1 + len(self.times)

    def requests(
        self, observation: Observation, archive: Sequence[Outcome], tries_left: int
    ) -> list[Request]:
        """How training goes, or what was found in the last try."""
        return [Request(first_prompt(self.brief, observation, archive, tries_left))]

    def variations(self, source: str, observation: Observation) -> list[str]:
        """The source at other rates; none where a proposal is live already."""
        if observation.source is not None:
            return []
        made = (at_times(source, times) for times in self.times)
        return [each for each in made if each is not None]

    def choose(self, passed: Sequence[Attempt]) -> Attempt | None:
        """The highest rate that is as good as the proposal's own, or that passed."""
        own = min(passed, key=lambda attempt: int(attempt["candidate"]), default=None)
        if own is None:
            return None
        bound = _late(own) + _AS_GOOD * abs(_late(own))
        good = [each for each in passed if _late(each) <= bound]
        return max(good or [own], key=lambda each: rate_of(each["source"]) or 0.0)

    def tell(self, outcome: Outcome) -> None:
        """Nothing is learned from it but what the prompts say."""


def _late(attempt: Attempt) -> float:
    losses = attempt["losses"][-_LAST:]
    return statistics.fmean(losses) if losses else final_loss(attempt)


def at_times(source: str, times: float) -> str | None:
    """The source with the default of its rate multiplied; None where it shows none.

    >>> at_times("class A:\\n    def __init__(self, params, lr=0.1):\\n        pass", 3)
    '# The same rule at 3 times its rate.\\nclass A:\\n    def __init__(self, params, \
lr=0.3):\\n        pass'
    """
    found = _default(source)
    if found is None:
        return None
    lines = source.encode().splitlines(keepends=True)
    line = lines[found.lineno - 1]
    rate = str(float(f"{rate_of(source) * times:.4g}"))  # type: ignore[operator]
    end = found.end_col_offset
    lines[found.lineno - 1] = line[: found.col_offset] + rate.encode() + line[end:]
    said = f"# The same rule at {times:.3g} times its rate.\n"
    return said + b"".join(lines).decode()


def rate_of(source: str) -> float | None:
    """The default of its rate; None where it shows none."""
    found = _default(source)
    return float(found.value) if found else None  # type: ignore[arg-type]


def _default(source: str) -> ast.Constant | None:
    """The number that `lr` defaults to in its constructor."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # the static check says what is wrong with it
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            named = [*node.args.posonlyargs, *node.args.args][::-1]
            given = [
                *zip(named, node.args.defaults[::-1], strict=False),
                *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
            ]
            for argument, default in given:
                if argument.arg == "lr" and isinstance(default, ast.Constant):
                    return default if type(default.value) in (int, float) else None
    return None
