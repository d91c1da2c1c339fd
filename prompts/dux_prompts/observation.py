"""What training looks like now, as plain data: what every prompt is written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

Plain = (str, int, float, bool, type(None))


class ObservationError(ValueError):
    """An observation that is not plain data, or does not fit together."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One look at a training, between two decisions. Plain data throughout.

    Losses are what the objective returned, in its own unit. Steps count optimizer
    steps since the run began. A list "by fifth" holds the means over five equal
    parts of the interval, in order; it is shorter when the interval is.

    Attributes:
        model: `{"kind", "parameters": int, "layers": [{"name", "kind", "detail",
            "parameters": {name: shape}, "count": int}]}`; a layer with a count over
            one stands for that many alike.
        loss_name: what the objective is called, if the caller said so.
        task: a few words on the task, if the caller gave them.
        base_optimizer: `{"name": "SGD", "groups": [{"lr": 0.01, ...}]}`.
        step: the step that training has reached.
        total_steps: steps of the whole run, if known.
        interval: steps since the last decision.
        decision: number of this decision, from 1.
        decisions_left: how many more times the model is asked after this one.
        losses: `[step, loss]` pairs drawn at random from the interval, by step.
        loss_fifths: mean training loss by fifth of the interval.
        gradient_norm: mean over the interval of the norm of the whole gradient, as
            the steps found it: after whatever clipping the loop does.
        gradient_norm_fifths: the same by fifth of the interval.
        gradient_clip: what the loop seems to cut that norm to; None: no such bound.
        validation_losses: `[step, loss]` pairs of the whole run so far.
        validation_error: standard error of the last of them, where batches tell it.
        evaluated_loss: mean training loss of the newest batches in evaluation mode, as
            the validation loss is taken; None: nobody validates, or the objective gives
            no loss in that mode.
        learning_rates: `lr` of each parameter group of the live optimizer.
        groups: where the parameters are split into several groups, each group's
            `{"tensors", "parameters", "rate", "decay"}`: how many it has, and its part
            of a rule's learning rate and weight decay, relative to the largest.
        schedule: what sets the rates while training goes on, apart from rules:
            `{"names", "owner": "proposal" or "scheduler", "now", "ahead", "initial"}`;
            rates are those of each group that it alone would have set.
        source: the live source; None while the base optimizer is live.
        history: earlier intervals, oldest first: `{"decision", "step", "verdict",
            "loss_fifths", "validation_loss", "summary"}`.
        closures: whether the loop passes closures to `step`; None: not known yet.
        kinds: of the parameters: dtype and device, such as "float32 on cpu".
        accumulated: batches whose gradients the loop adds up for one step.
        last: what became of the last proposal: `{"verdict", "reason",
            "findings": [...]}`; None before the first.
        experience: what came of proposals in other trainings, the nearest first, as
            `dux_prompts.experience.experience_section` takes it.

    Raises:
        ObservationError: a value is no plain data, or a number makes no sense.
    """

    model: dict[str, Any]
    base_optimizer: dict[str, Any]
    step: int
    interval: int
    decision: int = 1
    loss_name: str | None = None
    task: str | None = None
    total_steps: int | None = None
    decisions_left: int | None = None
    losses: list[list[float]] = field(default_factory=list)
    loss_fifths: list[float] = field(default_factory=list)
    gradient_norm: float | None = None
    gradient_norm_fifths: list[float] = field(default_factory=list)
    gradient_clip: float | None = None
    validation_losses: list[list[float]] = field(default_factory=list)
    validation_error: float | None = None
    evaluated_loss: float | None = None
    learning_rates: list[float] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    schedule: dict[str, Any] | None = None
    closures: bool | None = None
    kinds: list[str] = field(default_factory=list)
    accumulated: int = 1
    source: str | None = field(default=None, repr=False)
    history: list[dict[str, Any]] = field(default_factory=list)
    last: dict[str, Any] | None = None
    experience: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for part in fields(self):
            _refuse_what_is_not_plain(getattr(self, part.name), part.name)
        for name, least in (("step", 0), ("interval", 0), ("decision", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ObservationError(
                    f"{name} is {value!r}; wanted a whole number of at least {least}"
                )
        if self.total_steps is not None and self.total_steps < 1:
            raise ObservationError(
                f"total_steps is {self.total_steps!r}; wanted at least 1, or None"
                " where the length of the run is not known"
            )
        for name in ("losses", "validation_losses"):
            for pair in getattr(self, name):
                if not isinstance(pair, Sequence) or len(pair) != 2:
                    raise ObservationError(
                        f"{name} holds {pair!r}; wanted [step, loss] pairs"
                    )

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as graph state and traces hold it; a deep copy."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Observation:
        """The observation that `as_dict` gave.

        Raises:
            ObservationError: a field is missing or unknown, or its value is wrong.
        """
        known = {part.name for part in fields(cls)}
        unknown = sorted(set(data) - known)
        missing = sorted({"model", "base_optimizer", "step", "interval"} - set(data))
        if unknown or missing:
            found = [f"unknown field {name!r}" for name in unknown]
            found += [f"no field {name!r}" for name in missing]
            raise ObservationError(
                f"this is no observation: {', '.join(found)}; pass what"
                " Observation.as_dict() returned"
            )
        return cls(**data)

    @property
    def steps_left(self) -> int | None:
        """Steps until the run ends, or None where its length is not known."""
        if self.total_steps is None:
            return None
        return max(0, self.total_steps - self.step)

    @property
    def steps_to_next_decision(self) -> int | None:
        """Steps the next rule will run before the model is asked again, if known.

        The last decision's rule runs to the end; otherwise the next interval is
        taken to be as long as the last.
        """
        left = self.steps_left
        if self.decisions_left == 0:
            return left
        if left is None:
            return self.interval or None
        return min(left, self.interval) if self.interval else left


def _refuse_what_is_not_plain(value: Any, where: str) -> None:
    """Raise ObservationError unless `value` is made of dict, list, str, numbers."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ObservationError(f"{where} has the key {key!r}; wanted a str")
            _refuse_what_is_not_plain(item, f"{where}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_what_is_not_plain(item, f"{where}[{index}]")
    elif not isinstance(value, Plain):
        raise ObservationError(
            f"{where} holds a {type(value).__name__}; wanted plain data (dict, list,"
            " str, int, float, bool, None): pass .item() of a tensor"
        )
