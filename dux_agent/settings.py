"""What `attach` was given, checked: everything an agent needs to know, nothing live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dux_agent.arguments import Execution
from dux_agent.choices import CarryOver, LrOwner, Place, Vocabulary
from dux_sandbox.limits import Limits

Objective = Callable[[nn.Module, Any], torch.Tensor]
Validate = Callable[[nn.Module], Any]
Clone = Callable[[nn.Module], nn.Module]


@dataclass(frozen=True)
class Settings:
    """The arguments of `dux_agent.attach`; see there."""

    objective: Objective
    task: str | None
    loss_name: str | None
    every: int | None
    total_steps: int | None
    steps_per_epoch: int | None
    max_attempts: int
    candidates: int
    dry_run_steps: int
    accept: str
    execution: Execution
    lr_owner: LrOwner
    carry_over: CarryOver
    history: str
    history_characters: int
    limits: Limits
    validate: Validate | None
    background: bool
    seed: int
    clone: Clone | None
    prompts: str | None
    vocabulary: Vocabulary = "short"
    fuzz: bool = False
    also: tuple[Any, ...] = ()
    snapshots: Place = "device"
    rollback_lr: float = 0.5
    max_rollbacks: int = 3
    keep_best: bool = False
    lm_timeout: float = 600.0
    decision_timeout: float = 1800.0

    def decisions_left(self, step: int) -> int | None:
        """How often the model is asked again after a decision at `step`, if known."""
        interval = self.every or self.steps_per_epoch
        if interval is None or self.total_steps is None:
            return None
        # The step after which the run is over needs no decision.
        return max(0, -(-(self.total_steps - step) // interval) - 1)
