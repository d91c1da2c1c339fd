"""A scheduler's shadow: it does to the schedule's own rates what the real one does.

A scheduler that multiplies the rate it finds meets the live rule's in the groups. What
it would have made of the rate that no swap ever touched is found by a copy of it over
groups that hold just that, stepped whenever the real one was. The real one is never
written to.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from torch import nn

from dux_agent.live.schedulers import all_parts_of, epoch_of, goes_by_a_metric
from dux_sandbox.group_shares import number_in
from dux_sandbox.random_state import RandomState

# A scheduler steps a few times between two steps of its optimizer; anything near this
# is a checkpoint that was loaded.
_MOST_STEPS = 10_000
# What a scheduler that goes by a metric knows of the rates themselves.
_OF_THE_RATES = ("optimizer", "_last_lr", "_init_lrs", "reset_start")


class OwnRates:
    """Stands in for the optimizer of shadows: groups that hold the schedule's rates.

    Attributes:
        param_groups: what schedulers read, without parameters.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        self.param_groups = [dict(group) for group in groups]
        self.defaults: dict[str, Any] = {}
        self._opt_called = True

    def step(self) -> None:
        """Schedulers look whether their optimizer's `step` was wrapped."""


OwnRates.step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]


class Shadow:
    """A copy of one scheduler over the schedule's own rates."""

    def __init__(self, copy: Any) -> None:
        """For `of`; use that."""
        self._copy = copy
        # A user's function may draw from any generator; torch's own draw from none.
        self._draws = not all(map(_is_torchs, (copy, *all_parts_of(copy))))

    @classmethod
    def of(
        cls, scheduler: Any, optimizers: Iterable[Any], rates: OwnRates
    ) -> Shadow | None:
        """The shadow of a scheduler as it stands; None where it does not copy.

        Args:
            optimizers: all that the scheduler may hold on to as its optimizer.
            rates: what the shadow reads and writes in their place.
        """
        memo: dict[int, Any] = {id(each): rates for each in optimizers}
        for each in (scheduler, *all_parts_of(scheduler)):
            for value in vars(each).values():
                if isinstance(value, nn.Module):
                    memo[id(value)] = value  # nothing of it is asked for
        try:
            return cls(deepcopy(scheduler, memo))
        except Exception:  # a user's scheduler may hold anything
            return None

    def follow(self, scheduler: Any) -> bool:
        """Step as often as the real one did since it was last followed.

        Returns:
            False where it cannot be told what the real one did, as after a load.
        """
        random = RandomState.take() if self._draws else None
        try:
            if goes_by_a_metric(scheduler):
                return self._follow_metric(scheduler)
            return self._follow_steps(scheduler)
        except Exception:  # a user's scheduler may raise anything
            return False
        finally:
            if random is not None:
                random.restore()

    def closed_form(self) -> list[float | None]:
        """The rates at its epoch as `step(epoch)` sets them; nothing if it does not."""
        closed = getattr(self._copy, "_get_closed_form_lr", None)
        try:
            return [] if closed is None else [number_in(rate) for rate in closed()]
        except Exception:  # a user's scheduler may raise anything
            return []

    def foretell(self, steps: int) -> bool:
        """Step on alone; False where it cannot be stepped so far."""
        if steps > _MOST_STEPS:
            return False
        random = RandomState.take() if self._draws else None
        try:
            self._advance(steps)
        except Exception:  # as OneCycleLR after its last step
            return False
        finally:
            if random is not None:
                random.restore()
        return True

    def _advance(self, steps: int) -> None:
        for _ in range(steps):
            self._copy.step()

    def _follow_steps(self, real: Any) -> bool:
        copy = self._copy
        if _counters(real) == _counters(copy):
            return True
        ahead = epoch_of(real) - epoch_of(copy)
        counted = getattr(real, "_step_count", ahead) - getattr(copy, "_step_count", 0)
        counted = counted if hasattr(copy, "_step_count") else ahead
        if ahead < 0 or ahead > counted:
            copy._update_lr(real.last_epoch)  # `step(epoch)`
        elif ahead > _MOST_STEPS:
            return False
        else:
            if counted > ahead:
                # Accelerate counts a step on where gradients are accumulated.
                copy._step_count += counted - ahead
            self._advance(ahead)
        if hasattr(copy, "_step_count"):
            copy._step_count = real._step_count
        return _counters(real) == _counters(copy)

    def _follow_metric(self, real: Any) -> bool:
        copy = self._copy
        gone = real.last_epoch - copy.last_epoch
        if gone not in (0, 1):
            return False
        if gone == 1:
            self._act(real)
        for name, value in vars(real).items():
            if name not in _OF_THE_RATES and isinstance(value, int | float | str):
                setattr(copy, name, value)
        return True

    def _act(self, real: Any) -> None:
        """Lower or raise the rates where the metric made the real one do so."""
        copy = self._copy
        if copy.cooldown_counter > 0 or getattr(copy, "warmup_counter", 0) > 0:
            return
        lower = real.best < copy.best
        better = lower if real.mode == "min" else real.best > copy.best
        if better:
            rises = callable(getattr(type(copy), "_increase_lr", None))
            if rises and copy.num_good_epochs + 1 > real.patience:
                copy._increase_lr(real.last_epoch)
        elif copy.num_bad_epochs + 1 > real.patience:
            copy._reduce_lr(real.last_epoch)


def _is_torchs(scheduler: Any) -> bool:
    """Whether nothing but torch's own code runs when it steps."""
    own = ("lr_lambdas", "_scale_fn_custom")
    return type(scheduler).__module__.startswith("torch.optim.") and not any(
        vars(scheduler).get(name) for name in own
    )


def _counters(scheduler: Any) -> list[Any]:
    """Whole numbers, words and claims of a scheduler and its parts; no rates."""
    found: list[Any] = []
    for each in (scheduler, *all_parts_of(scheduler)):
        for name, value in sorted(vars(each).items()):
            if value is None or type(value) in (int, bool, str):
                found.append((name, value))
    return found
