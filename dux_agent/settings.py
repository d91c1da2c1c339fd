"""What `attach` was given, checked: everything an agent needs to know, nothing live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from dux_agent import arguments
from dux_agent.choices import (
    CarryOver,
    LrOwner,
    Place,
    Reasoning,
    Vocabulary,
    check_switch,
)
from dux_agent.errors import BadArgument
from dux_sandbox.limits import Limits

Check = Callable[[str, Any], None]


def _checked(default: Any, check: Check) -> Any:
    return field(default=default, metadata={"check": check})


def _whole(default: int | None, least: int) -> Any:
    check = partial(arguments.check_number, least=least, optional=default is None)
    return _checked(default, check)


def _choice(default: str) -> Any:
    return _checked(default, arguments.check_choice)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Those arguments of `dux_agent.attach` that are plain; see there.

    Raises:
        BadArgument: one of them cannot be meant.
    """

    task: str | None = None
    loss_name: str | None = None
    every: int | None = _whole(None, 1)
    total_steps: int | None = _whole(None, 1)
    steps_per_epoch: int | None = _whole(None, 1)
    max_attempts: int = _whole(3, 1)
    candidates: int = _whole(1, 1)
    dry_run_steps: int = _whole(10, 1)
    decision_steps: int | None = _whole(None, 1)
    accept: str = _choice("harmless")
    execution: str = _choice("auto")
    lr_owner: LrOwner = _choice("proposal")
    carry_over: CarryOver = _choice("asked")
    history: str = _choice("chat")
    history_characters: int = _whole(60_000, 0)
    context_window: int | None = _whole(None, 1)
    reasoning: Reasoning = _choice("first")
    limits: Limits = field(default_factory=Limits)
    background: bool = _checked(False, check_switch)
    seed: int = _whole(0, 0)
    prompts: str | None = None
    vocabulary: Vocabulary = _choice("short")
    zoo: bool = _checked(False, check_switch)
    guard_steps: int = _whole(100, 0)
    fuzz: bool = _checked(False, check_switch)
    snapshots: Place = _choice("device")
    rollback_lr: float = _checked(0.5, arguments.check_share)
    max_rollbacks: int = _whole(3, 0)
    keep_best: bool = _checked(False, check_switch)
    lm_timeout: float = _checked(600.0, arguments.check_seconds)
    decision_timeout: float = _checked(1800.0, arguments.check_seconds)

    @classmethod
    def of(cls, given: Mapping[str, Any], **read: Any) -> Settings:
        """Those of the arguments in `given`; those in `read` as they are there."""
        given = {**given, **read}
        return cls(**{each.name: given[each.name] for each in fields(cls)})

    def __post_init__(self) -> None:
        for each in fields(self):
            if "check" in each.metadata:
                each.metadata["check"](each.name, getattr(self, each.name))
        least = 2 * self.dry_run_steps
        if self.decision_steps is not None and self.decision_steps < least:
            raise BadArgument(
                f"decision_steps is {self.decision_steps}, and a proposal alone takes "
                f"{least}: dry_run_steps={self.dry_run_steps} of the incumbent and of "
                f"its own; pass decision_steps={least} or more, or None for no limit."
            )

    def decisions_left(self, step: int) -> int | None:
        """How often the model is asked again after a decision at `step`, if known."""
        interval = self.every or self.steps_per_epoch
        if interval is None or self.total_steps is None:
            return None
        # The step after which the run is over needs no decision.
        return max(0, -(-(self.total_steps - step) // interval) - 1)
