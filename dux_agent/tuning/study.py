"""What a study came to: its trials, the best of them, what it cost. Plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dux_agent.showing import html_table, one_line

DONE, FAILED = "done", "failed"


@dataclass(frozen=True)
class Trial:
    """One evaluation.

    Attributes:
        number: from 1, in the order in which they were asked for.
        config: what was evaluated.
        value: as the model was shown it; None where the evaluation failed.
        measured: what the objective gave, before noise was put on it.
        report: what else it gave; never shown to the model.
        state: "done" or "failed".
        by: who proposed it: "lm", "offline rule", "fallback", "default", "given",
            "random", "tpe", "gp", "cmaes".
        why: the reason that was given.
        error: why it failed, one line.
        seconds: that the evaluation took.
        proposed: the JSON object of the reply, where it was written otherwise.
    """

    number: int
    config: dict[str, Any]
    value: float | None = None
    measured: float | None = None
    report: Any = None
    state: str = DONE
    by: str = "lm"
    why: str = ""
    error: str = ""
    seconds: float = 0.0
    proposed: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as a trace holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trial:
        """The trial that `as_dict` gave; entries that it does not know are left out.

        Raises:
            TypeError: a needed one is missing.
        """
        known = cls.__dataclass_fields__.keys()
        return cls(**{name: data[name] for name in known if name in data})


@dataclass(frozen=True, repr=False)
class Study:
    """What `dux_agent.tune` gives back; iterate over it for its trials.

    Attributes:
        trials: in the order of their numbers.
        control: the trials of random search beside it, from the same defaults.
        maximize: whether higher values are better.
        usage: calls and tokens of the language model.
        model: its name; "offline" is a written rule, "none" where nobody was asked.
        complete: the whole budget was evaluated.
        reason: why not, one line.
        run_dir: the run folder, or None.
        seconds: of the whole study.
    """

    trials: tuple[Trial, ...] = ()
    control: tuple[Trial, ...] = ()
    maximize: bool = False
    usage: dict[str, float] = field(default_factory=dict)
    model: str = "none"
    complete: bool = True
    reason: str = ""
    run_dir: Path | None = None
    seconds: float = 0.0

    @property
    def best(self) -> Trial | None:
        """The trial with the best shown value, of equal ones the first."""
        return best_of(self.trials, self.maximize)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    def __len__(self) -> int:
        return len(self.trials)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        held = asdict(self)
        held["run_dir"] = None if self.run_dir is None else str(self.run_dir)
        return held

    def __repr__(self) -> str:
        best = self.best
        told = "no value" if best is None else f"best {best.value:.6g}"
        ended = "" if self.complete else f"; {one_line(self.reason, 160)}"
        return f"<Study of {len(self.trials)} trials: {told}{ended}>"

    def _repr_html_(self) -> str:
        rows = [("trial", "value", "by", "configuration")]
        for each in self.trials:
            value = each.error if each.value is None else f"{each.value:.6g}"
            config = ", ".join(f"{k}={v}" for k, v in each.config.items())
            rows.append((str(each.number), value, each.by, config))
        return html_table(rows)


def best_of(trials: tuple[Trial, ...], maximize: bool) -> Trial | None:
    """The trial with the best shown value, of equal ones the first."""
    sign = -1.0 if maximize else 1.0
    valued = [each for each in trials if each.value is not None]
    return min(valued, key=lambda each: sign * (each.value or 0.0), default=None)
