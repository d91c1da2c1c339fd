"""Figures and names as tables and pages say them."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence

from dux_agent.run_history.records import WentBackTold
from dux_agent.showing import one_line

OFFLINE = "offline rules (rule-based, not a language model)"

VERDICTS = {
    "applied": "applied: the proposal went live",
    "kept": "kept: the incumbent went on",
    "failed": "failed: trouble with the model",
    "rolled_back": "rolled back: it did harm and was undone",
    "unfinished": "unfinished: the trace ends before a verdict",
}
"""The verdicts that a style exists for, and what each means."""


def model_title(name: str) -> str:
    """The model's name as every summary says it.

    >>> model_title("offline")
    'offline rules (rule-based, not a language model)'
    """
    if name == "none":
        return "none (the guard alone)"
    return OFFLINE if name in ("offline", "OfflineRules") else one_line(name)


def study_model_title(name: str) -> str:
    """The same of a study, where nothing is guarded.

    >>> study_model_title("none")
    'none (nobody was asked)'
    """
    return "none (nobody was asked)" if name == "none" else model_title(name)


def went_back_text(back: WentBackTold) -> str:
    """What a rollback of a run without a language model did.

    >>> went_back_text(WentBackTold(step=9, reason="", undone=3, factor=0.5))
    '3 steps undone, on at 0.5 times the rate'
    """
    undone = "" if back.undone is None else f"{plural(back.undone, 'step')} undone"
    rate = "" if back.factor is None else f"on at {back.factor:g} times the rate"
    return ", ".join(part for part in (undone, rate) if part)


def by_itself_text(steps: Sequence[int]) -> str:
    """What is said of a rule that does more than step.

    >>> by_itself_text((10, 20))
    'moves weights without a gradient (steps 10, 20 of its own)'
    """
    told = ", ".join(map(str, steps))
    word = "step" if len(steps) == 1 else "steps"
    return f"moves weights without a gradient ({word} {told} of its own)"


def loss_text(loss: float | None) -> str:
    """A loss with four digits after the point, or a dash where there is none.

    >>> loss_text(0.28952), loss_text(None), loss_text(3e-7), loss_text(math.inf)
    ('0.2895', '–', '3e-07', 'inf')
    """
    if loss is None:
        return "–"
    if not math.isfinite(loss):
        return str(loss)
    if loss != 0 and not 1e-3 <= abs(loss) < 1e6:
        return f"{loss:.4g}"
    return f"{loss:.4f}"


def seconds_text(seconds: float | None) -> str:
    """A length of time in the unit that suits it.

    >>> [seconds_text(each) for each in (0.0123, 2.5, 75.0, 7260.0, None)]
    ['12 ms', '2.5 s', '1 min 15 s', '2 h 1 min', 'unknown']
    """
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def bytes_text(size: int | None) -> str:
    """An amount of memory.

    >>> bytes_text(9515008)
    '9.5 MB'
    """
    if size is None:
        return "unknown"
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def rates_text(rates: Iterable[float]) -> str:
    """Learning rates, those of equal groups once.

    >>> rates_text([0.1, 0.1, 0.01])
    '0.1, 0.01'
    """
    return ", ".join(dict.fromkeys(f"{rate:.4g}" for rate in rates)) or "unknown"


def counts_text(counts: Mapping[str, int]) -> str:
    """State entries by name with the number of parameters that have them.

    >>> counts_text({"exp_avg": 6})
    'exp_avg (6 parameters)'
    """
    several = (
        f"{name} ({held} parameter{'' if held == 1 else 's'})"
        for name, held in list(counts.items())[:20]
    )
    return ", ".join(several) or "nothing"


def moment_text(moment: float) -> str:
    """A point in time, UTC."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
    except (OverflowError, ValueError, OSError):
        return "unknown"


def verdict_class(verdict: str) -> str:
    """The name that a style goes by: a verdict that we know, else "unfinished"."""
    return verdict if verdict in VERDICTS else "unfinished"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> plural(1, "call"), plural(1200, "call")
    ('1 call', '1,200 calls')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
