"""Runs the caller's own functions and leaves everything as it was."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from dux_agent.errors import BadArgument
from dux_agent.tasks.mean_loss import MeanLoss
from dux_agent.training.whole_model import model_is_sharded, whole_copy
from dux_sandbox.dry_runs.batch_copies import copy_of_batch
from dux_sandbox.dry_runs.bystanders import Bystanders
from dux_sandbox.dry_runs.resting import Resting
from dux_sandbox.dry_runs.scratch import CannotClone, clone_model, frozen_weights
from dux_sandbox.random_state import RandomState, random_numbers_kept
from dux_sandbox.running import parameters_of
from dux_sandbox.scalar_loss import scalar_loss
from dux_sandbox.shards import gathered, shape_of

Objective = Callable[[nn.Module, Any], torch.Tensor]
Validate = Callable[[nn.Module], Any]
Clone = Callable[[nn.Module], nn.Module]


class Stepped(Protocol):
    """An optimizer, as far as it matters here.

    Attributes:
        steps: how many it has taken.
    """

    param_groups: list[dict[str, Any]]
    steps: int


@dataclass
class BeforeSteps:
    """An optimizer that is about to be attached to: no step was seen yet."""

    param_groups: list[dict[str, Any]]
    steps: int = 0


@dataclass(eq=False)
class CallersFunctions:
    """The objective and the validation of one training, called out of its order.

    Whatever they touch is put back: modes, buffers, gradients and random numbers, of
    the model and of every other module that they reach.

    Attributes:
        resting: knows which frozen weights do not move.
        objective_checked: it gave a scalar, and the model a gradient.
        calling: one of them runs just now, and not for the training.
        whole: a copy of a sharded model that is tried in its place; None: none is.
        iterators: kinds of those that the objective reaches, which nobody puts back.
    """

    model: nn.Module
    live: Stepped
    objective: Objective
    validate: Validate | None = None
    clone: Clone | None = None
    also: Sequence[Any] = ()
    objective_checked: bool = False
    calling: bool = False
    whole: nn.Module | None = None

    def __post_init__(self) -> None:
        """Look at the frozen weights for the first time."""
        self.resting = Resting(lambda: self.live.steps)
        reached, _ = self._look()
        self.iterators = {type(each).__name__ for each in reached.iterators}

    @contextmanager
    def called(self) -> Iterator[None]:
        """What the caller's functions do to the agent inside counts for nothing."""
        before, self.calling = self.calling, True
        try:
            yield
        finally:
            self.calling = before

    def _look(self) -> tuple[Bystanders, set[int]]:
        reached = Bystanders(self.model, [self.objective], self.also)
        frozen = frozen_weights(self.model, parameters_of(self.live.param_groups))
        return reached, self.resting.look([*frozen, *reached.others])

    def look_first(self, batch: Any = None) -> None:
        """Try once, before anything else, what every decision will need.

        Args:
            batch: one that the objective takes; None: it is tried later.

        Raises:
            BadArgument: the model cannot be copied, `validate` returns no number, or
                the objective no scalar, or one that gives the model no gradient.
            Whatever `clone`, `validate` or the objective raise.
        """
        self.validation_loss()
        if batch is None:
            # Nothing runs on this copy: it may share whatever is frozen.
            trained = parameters_of(self.live.param_groups)
            resting = {id(each) for each in frozen_weights(self.model, trained)}
            self._copy(resting, values=False)
        else:
            self.check_objective(batch)

    def check_objective(self, batch: Any) -> None:
        """One forward and backward pass on a copy, unless there was one before.

        Raises:
            BadArgument: the objective returned no scalar, or gave the copy that it was
                handed no gradient, or the live model some; or the model cannot be
                copied. Whatever the objective raises comes out as it is.
        """
        if not self.objective_checked:
            self.objective_on_a_copy(batch)

    def refuse_iterator(self, batch: Any) -> None:
        """Raise BadArgument for a first batch that can be read only once."""
        if not self.objective_checked and isinstance(batch, Iterator):
            raise BadArgument(
                f"the batch is a {type(batch).__name__}, which can be read only once; "
                f"one that a dry run can hand to the objective again was wanted; pass "
                f"list(batch), or tensors."
            )

    def _check(
        self, loss: Any, trained: list[torch.Tensor], bystanders: Bystanders
    ) -> None:
        """Judge what the objective returned for a copy with these weights."""
        scalar_loss(loss, tensor=True, error=BadArgument)
        if loss.requires_grad:
            loss.backward()
        movable = [each for each in trained if each.requires_grad]
        if movable and all(each.grad is None for each in movable):
            raise BadArgument(
                "the objective gave no gradient to the model it was handed; a loss "
                "computed from its argument `model` was wanted; do not use another "
                "model in it, nor detach the loss."
            )
        self._require_no_live_weights(bystanders)
        self.objective_checked = True

    def _require_no_live_weights(self, bystanders: Bystanders) -> None:
        """Raise BadArgument where live weights took part in a call on a copy.

        Those that a module beside the model holds too are that one's, and a copy may
        share those that nobody trains.
        """
        trained = set(map(id, parameters_of(self.live.param_groups)))
        inside = set(map(id, self.model.modules()))
        beside = [each for each in bystanders.modules if id(each) not in inside]
        trained -= {id(held) for each in beside for held in each._parameters.values()}
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None and id(parameter) in trained:
                raise BadArgument(
                    f"the objective was handed a copy of the model, and the live "
                    f"parameter {name} got a gradient from it; a loss computed from "
                    f"the copy alone was wanted; use no other model in the objective, "
                    f"or, where a function or hook of the model reaches the live one, "
                    f"pass clone=, a callable that returns a copy which does not."
                )

    def _copy(
        self, resting: set[int], *, values: bool = True
    ) -> tuple[nn.Module, dict[int, torch.Tensor]]:
        """A copy; without `values` a sharded model's has only the shapes of weights."""
        try:
            if self.whole is not None:
                twin, _ = clone_model(self.whole, self.clone)
            elif model_is_sharded(self.model):
                twin = whole_copy(self.model, gathered if values else shape_of)
            else:
                return clone_model(self.model, self.clone, shared=resting)
            pairs = zip(self.model.parameters(), twin.parameters(), strict=True)
            return twin, {id(one): other for one, other in pairs}
        except CannotClone as error:
            raise BadArgument(str(error)) from error

    def objective_on_a_copy(
        self,
        batch: Any,
        weights: Mapping[int, torch.Tensor] | None = None,
        random: RandomState | None = None,
        gradients: dict[int, torch.Tensor] | None = None,
    ) -> Any:
        """What the objective returns for a copy of the model.

        The copy is the model without what is wrapped round it. The first time a
        backward pass is made too, and the objective is judged by both.

        Args:
            batch: it is handed a copy of it.
            weights: values that the copy has instead, by the id of the live parameter.
            random: the random numbers that it draws; None: as they are.
            gradients: is filled with those of the copy, by the id of the live
                parameter, if given.

        Raises:
            BadArgument: the model cannot be copied, or as `check_objective`. Whatever
                the objective raises.
        """
        bystanders, resting = self._look()
        twin, twin_of = self._copy(resting)
        # Gradients are on: an objective may take some itself (a penalty, a residual).
        kept = bystanders.kept(resting=resting)
        with self.called(), random_numbers_kept(), kept, torch.enable_grad():
            for known, value in (weights or {}).items():
                twin_of[known].detach().copy_(value)
            if random is not None:
                random.restore()
            loss = self.objective(twin, copy_of_batch(batch))
            if not self.objective_checked:
                stepped = map(id, parameters_of(self.live.param_groups))
                ours = [twin_of[each] for each in stepped if each in twin_of]
                self._check(loss, ours, bystanders)
            elif gradients is not None and loss.requires_grad:
                loss.backward()
            if gradients is not None:
                for known, other in twin_of.items():
                    if other.grad is not None:
                        gradients[known] = other.grad
            return loss.detach() if isinstance(loss, torch.Tensor) else loss

    def evaluated_loss(self, batches: Iterable[Any]) -> float | None:
        """The mean loss of a copy in evaluation mode, as the validation loss is taken.

        Returns:
            None where nobody validates, or the objective has no finite loss in that
            mode: some networks give their predictions then.

        Raises:
            BadArgument: the model cannot be copied.
        """
        if self.validate is None:
            return None
        bystanders, resting = self._look()
        twin, _ = self._copy(resting)
        kept = bystanders.kept(resting=resting)
        with self.called(), random_numbers_kept(), kept, torch.enable_grad():
            twin.eval()
            try:
                losses = [
                    float(scalar_loss(self.objective(twin, copy_of_batch(each))))
                    for each in batches
                ]
            # The caller's own code, in a mode that they never meant it for.
            except Exception:
                return None
        mean = math.fsum(losses) / len(losses) if losses else math.nan
        return mean if math.isfinite(mean) else None

    def validation_loss(self) -> float | None:
        """The validation loss in eval mode, without gradients; None: nobody validates.

        A `MeanLoss` where `validate` returned one.

        Raises:
            BadArgument: `validate` returned no number. What it raises comes out as it
                is.
        """
        validate = self.validate
        model = self.model if self.whole is None else self.whole
        if validate is None:
            return None
        kept = Bystanders(model, [validate], self.also).kept(values=False)
        with self.called(), random_numbers_kept(), kept, torch.no_grad():
            model.eval()
            returned = validate(model)
            if isinstance(returned, MeanLoss):
                return returned
            try:
                return float(scalar_loss(returned, error=BadArgument))
            except BadArgument:
                shape = (
                    f" of shape {tuple(returned.shape)}"
                    if isinstance(returned, torch.Tensor)
                    else ""
                )
                raise BadArgument(
                    f"validate returned a {type(returned).__name__}{shape}; a number "
                    f"or a scalar tensor was wanted; return the mean loss over your "
                    f"validation data."
                ) from None
