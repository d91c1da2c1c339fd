"""The losses of a LightningModule: those that it trains on, and those of a copy."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from dux_agent.errors import BadArgument

Heard = tuple[Any, torch.Tensor]  # the batch, the loss


class StepLosses:
    """Which loss belongs to which optimizer's step: manual optimization says neither.

    A loss belongs to the first optimizer that is stepped after its backward pass.
    """

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self._waiting: list[Heard] = []
        self._batch: Any = None
        self._of: dict[int, list[Heard]] = {}
        self._steps: dict[int, int] = {}

    def begin(self, batch: Any) -> None:
        """The backward passes that follow are of this batch."""
        self._batch = batch

    def backward(self, loss: torch.Tensor) -> None:
        """A backward pass begins from this loss."""
        self._waiting.append((self._batch, loss.detach()))

    def step(self, optimizer: Any) -> None:
        """An optimizer is about to step."""
        self._of.setdefault(id(optimizer), []).extend(self._waiting)
        self._steps[id(optimizer)] = self._steps.get(id(optimizer), 0) + 1
        self._waiting = []

    def stepped(self, optimizer: Any) -> bool:
        """Whether this optimizer has stepped since `take` was last asked."""
        return id(optimizer) in self._steps

    def take(self, optimizer: Any) -> tuple[list[Heard], float]:
        """Batches and their losses for an optimizer that has stepped since last asked.

        Losses of one batch are added up, as their gradients are; where the optimizer
        has stepped several times in a batch it is the mean over its steps.

        Returns:
            Both, and what part of the loss of its `TrainingStep` each of these is.
        """
        heard = self._of.pop(id(optimizer), [])
        steps = self._steps.pop(id(optimizer), 1)
        found: list[Heard] = []
        for batch, loss in heard:
            if found and found[-1][0] is batch:
                found[-1] = (batch, found[-1][1] + loss)
            else:
                found.append((batch, loss))
        if steps > 1:
            found = [(batch, loss / steps) for batch, loss in found]
        return found, 1 / steps

    def drop(self) -> None:
        """Nobody asks for what the other optimizers stepped on."""
        self._of.clear()
        self._steps.clear()


class TrainingStep:
    """A LightningModule's own `training_step` as an objective, for one optimizer.

    It runs on a copy whose trainer can only be read, as the trainer runs it: with the
    precision plugin's autocast. With manual optimization the copy's optimizers step
    nothing, and the loss is what went into the backward passes before their step.
    """

    def __init__(self, trainer: Any, index: int, optimizers: int) -> None:
        """Of the optimizer at `index` of so many.

        Raises:
            BadArgument: `training_step` takes an iterator over the loader.
        """
        # Not the trainer: a dry run puts back whatever an objective reaches.
        self._autocast = trainer.precision_plugin.train_step_context
        self._index, self._optimizers = index, optimizers
        self._schedulers = len(trainer.lr_scheduler_configs)
        step = trainer.lightning_module.training_step
        self._names = list(inspect.signature(step).parameters)
        if "dataloader_iter" in self._names:
            raise BadArgument(
                "training_step takes dataloader_iter; one that takes a batch was "
                "wanted, since it is called on batches kept for dry runs; pass "
                "objective=, a callable (module, batch) -> loss."
            )

    def __call__(self, module: Any, told: Any) -> Any:
        """The loss of a batch and its index."""
        batch, at = told
        given = (batch, at)[: len(self._names)]
        with self._autocast():
            if module.automatic_optimization:
                return loss_in(module.training_step(*given))
            step = _StepsNothing(self._optimizers, self._schedulers)
            with step.instead(module):
                returned = module.training_step(*given)
        heard = step.losses[self._index] or step.waiting
        return sum(heard[1:], heard[0]) if heard else loss_in(returned)


def objectives_for(
    trainer: Any, names: Sequence[str], given: Any
) -> dict[str, Callable[..., Any] | None]:
    """An objective for the optimizer of each name, or None where it has no agent.

    Raises:
        BadArgument: what was given names others.
    """
    if given is None:
        return {
            name: TrainingStep(trainer, index, len(names))
            for index, name in enumerate(names)
        }
    if not isinstance(given, Mapping):
        given = {names[0]: given} if len(names) == 1 else {}
    if set(given) != set(names):
        raise BadArgument(
            f"objective is for {', '.join(given) or 'no optimizer by name'}; one "
            f"for each of {', '.join(names)} was wanted; pass objective="
            f"{{{', '.join(f'{name!r}: ...' for name in names)}}}, with None for "
            f"an optimizer that is to have no agent."
        )
    autocast = trainer.precision_plugin.train_step_context
    # What the user's objective reaches is found behind a partial, and kept.
    return {
        name: None if objective is None else partial(_under, autocast, objective)
        for name, objective in given.items()
    }


def loss_in(returned: Any) -> Any:
    """The loss in what a `training_step` returned, or None."""
    if isinstance(returned, torch.Tensor):
        return returned
    # Lightning's own is a dict, which is quicker to tell than a mapping.
    return returned.get("loss") if isinstance(returned, dict | Mapping) else returned


def _under(autocast: Callable[[], Any], objective: Any, module: Any, batch: Any) -> Any:
    """An objective of the user's, called as the trainer calls `training_step`."""
    with autocast():
        return objective(module, batch)


class _Steps:
    """An optimizer of a copy: its step moves nothing, and ends a loss's way."""

    def __init__(self, mine: list[torch.Tensor], waiting: list[torch.Tensor]) -> None:
        self._mine, self._waiting = mine, waiting
        self.param_groups: list[dict[str, Any]] = []

    def step(self, closure: Any = None, **_: Any) -> Any:
        result = None if closure is None else closure()
        self._mine.extend(self._waiting)
        self._waiting.clear()
        return result

    def zero_grad(self, *_: Any, **__: Any) -> None:
        """Nothing to forget: no gradient is computed before the loss is returned."""

    @contextmanager
    def toggle_model(self, *_: Any, **__: Any) -> Iterator[None]:
        yield


class _Schedule:
    """A scheduler of a copy, which sets no rate."""

    def step(self, *_: Any, **__: Any) -> None:
        """Nothing."""


class _StepsNothing:
    """Has a copy's `training_step` only compute the losses that it would step on.

    Attributes:
        losses: of each optimizer, those whose backward pass came before its step.
        waiting: those that no step has followed.
    """

    def __init__(self, optimizers: int, schedulers: int) -> None:
        self.losses: list[list[torch.Tensor]] = [[] for _ in range(optimizers)]
        self.waiting: list[torch.Tensor] = []
        self._optimizers = [_Steps(mine, self.waiting) for mine in self.losses]
        self._schedules = [_Schedule() for _ in range(schedulers)]

    @contextmanager
    def instead(self, module: Any) -> Iterator[None]:
        """Take the place of what the copy would step with."""

        def nothing(*_: Any, **__: Any) -> None:
            return None

        instead = {
            "optimizers": lambda *_, **__: _one_or_all(self._optimizers),
            "lr_schedulers": lambda: _one_or_all(self._schedules),
            "manual_backward": lambda loss, *_, **__: self.waiting.append(loss),
            "clip_gradients": nothing,
            "toggle_optimizer": nothing,
            "untoggle_optimizer": nothing,
        }
        own = vars(module)
        before = {name: own[name] for name in instead if name in own}
        own.update(instead)
        try:
            yield
        finally:
            for name in instead:
                del own[name]
            own.update(before)


def _one_or_all(several: list[Any]) -> Any:
    """As Lightning hands them out."""
    if not several:
        return None
    return several if len(several) > 1 else several[0]
