"""Two lines for the Transformers trainer: `attach_trainer(trainer, lm=...)`."""

import copy
import math
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from dux_agent.agent import Agent
from dux_agent.arguments import listed
from dux_agent.attached import is_replaced
from dux_agent.attaching import attach
from dux_agent.errors import BadArgument, MissingExtra
from dux_agent.integrations.attach_options import check_attach_options
from dux_agent.integrations.news import DecisionNews, figures
from dux_agent.integrations.with_optimizer import SavedWithOptimizer
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.schedulers import all_parts_of
from dux_agent.training.looking import Objective
from dux_sandbox.random_state import random_numbers_kept

try:
    from transformers import Trainer, TrainerCallback
except ImportError:
    raise MissingExtra.of(
        "transformers", extra="transformers", purpose="attach_trainer"
    ) from None

_MOST_KEPT = 1000  # items of a container that a loss may write its figures to


def attach_trainer(
    trainer: Trainer, objective: Objective | None = None, **attach_options: Any
) -> Agent:
    """Put an agent behind a `transformers.Trainer`, before `trainer.train()`.

        agent = attach_trainer(trainer, lm="openai:gpt-4o", every=500)
        trainer.train()

    The live optimizer takes the place of the trainer's, which is created now. The agent
    is told of each batch and its loss. `optimizer.pt` of the trainer's checkpoints
    holds it beside the base optimizer's state, so that `resume_from_checkpoint` goes on
    from it, and a trainer without an agent can do so too. Decisions go through
    `trainer.log` as `dux/...`. Close the agent when you are done with the trainer.

    Args:
        trainer: a `Trainer`, or one of trl's as far as it is one.
        objective: `(model, inputs) -> loss`; None: the trainer's own `compute_loss`.
        attach_options: of `dux_agent.attach`. `total_steps` is what the trainer's
            arguments say. `validate` is the mean loss over the trainer's evaluation
            data if it has one set of them; pass None to spare it.

    Raises:
        BadArgument: the trainer makes its model anew in `train()` (`model_init`), or
            runs on DeepSpeed or FSDP; or as `attach`.
        TypeError: `attach` has no such option.
    """
    check_attach_options(attach_options)
    _check(trainer)
    trainer.create_optimizer()
    model: Any = trainer.model
    base: Any = trainer.optimizer
    if isinstance(base, DuxOptimizer):  # of an agent whose place this one takes
        base = base.base
    losses = _Losses(trainer)
    options: dict[str, Any] = {"total_steps": _total_steps(trainer)}
    if trainer.eval_dataset is not None and not isinstance(trainer.eval_dataset, dict):
        options["validate"] = losses.of_evaluation
    options |= attach_options
    options["also"] = [*listed(options.get("also")), *_others(trainer)]
    # A dry run finds what is behind a partial, and puts it back.
    own = partial(losses.of_batch, reaches=trainer.compute_loss_func)
    agent = attach(model, base, objective or own, **options)
    trainer.optimizer = agent.optimizer
    scheduler: Any = trainer.lr_scheduler
    if scheduler is not None:
        for each in (scheduler, *all_parts_of(scheduler)):
            stepped = getattr(each, "optimizer", None)
            if base in (stepped, getattr(stepped, "base", None)):
                each.optimizer = agent.optimizer
    trainer.add_callback(_Observing(trainer, agent, counts=objective is None))
    return agent


class _Observing(TrainerCallback):
    """Tells an agent what the trainer does, and the trainer's logs what it decides."""

    def __init__(self, trainer: Trainer, agent: Agent, *, counts: bool) -> None:
        """Observe from now on.

        Args:
            counts: the objective takes the number of items beside the inputs.
        """
        self._trainer, self._agent, self._counts = trainer, agent, counts
        self._news = DecisionNews(agent)
        self._heard: tuple[Any, Any, float] | None = None
        self._step = trainer.training_step
        SavedWithOptimizer(agent, self._news)
        # A callback gets neither loss nor batch.
        vars(trainer)["training_step"] = self._training_step

    def _training_step(
        self, model: Any, inputs: Any, num_items_in_batch: Any = None
    ) -> Any:
        if is_replaced(self._agent):
            return self._step(model, inputs, num_items_in_batch)
        batch = dict(inputs) if isinstance(inputs, Mapping) else inputs
        loss = self._step(model, inputs, num_items_in_batch)
        # Batches of the step that is being made; the last of an epoch has fewer.
        trainer, items = self._trainer, num_items_in_batch
        count = getattr(trainer, "current_gradient_accumulation_steps", None)
        count = count or trainer.args.gradient_accumulation_steps
        if self._counts:
            # The items are those of all batches of the step, of which this is one.
            batch = (batch, items if items is None or count == 1 else items / count)
        self._heard = (loss, batch, 1 / count)
        return loss

    def on_train_begin(self, args: Any, state: Any, control: Any, **of: Any) -> None:
        """The trainer steps what it was given.

        Raises:
            BadArgument: it has made another optimizer since.
        """
        if is_replaced(self._agent):
            return
        optimizer = of.get("optimizer")
        inner = getattr(optimizer, "optimizer", optimizer)
        if self._agent.optimizer not in (optimizer, inner):
            raise BadArgument(
                f"the trainer steps a {type(inner).__name__} and not agent.optimizer; "
                f"the optimizer that attach_trainer put in its place was wanted; "
                f"attach after everything that sets trainer.optimizer."
            )

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A batch of several that make a step."""
        self._observe()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The optimizer has stepped."""
        self._observe()
        new = self._agent.decisions and self._news.take()
        if new:
            wanted = control.should_log  # a call of `log` takes that to be done
            for decision in new:
                self._trainer.log(figures(self._agent, decision))
            control.should_log = wanted

    def _observe(self) -> None:
        heard, self._heard = self._heard, None
        if heard is not None:
            loss, batch, scale = heard
            self._agent.observe(loss, batch, scale=scale)


class _Losses:
    """The trainer's own losses, computed for any model, with no trace in the trainer.

    A dry run that puts back what an objective reaches does not look into this.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def of_batch(self, model: Any, batch: Any, reaches: Any = None) -> Any:
        """What `compute_loss` says of inputs and items; it calls what it `reaches`."""
        inputs, items = batch
        trainer = self._copy()
        prepared = trainer._prepare_inputs(inputs)
        with trainer.compute_loss_context_manager():
            return trainer.compute_loss(model, prepared, num_items_in_batch=items)

    def of_evaluation(self, model: Any) -> float:
        """The mean over the evaluation data, by rows, as `trainer.evaluate` has it."""
        trainer = self._copy()
        total, rows = 0.0, 0
        for inputs in trainer.get_eval_dataloader():
            loss, _, _ = trainer.prediction_step(model, inputs, True)
            if loss is None:
                raise BadArgument(
                    "the evaluation data give no loss; rows with labels were wanted; "
                    "pass validate=None, or a function of the model."
                )
            size = _rows_of(inputs)
            total, rows = total + float(loss) * size, rows + size
        return total / max(1, rows)

    def _copy(self) -> Any:
        """The trainer with figures of its own: trl's losses count tokens."""
        twin = object.__new__(type(self._trainer))
        for name, value in vars(self._trainer).items():
            vars(twin)[name] = _with_own_containers(value)
        return twin


def _with_own_containers(value: Any) -> Any:
    if not isinstance(value, dict | list | deque) or len(value) > _MOST_KEPT:
        return value
    twin: Any = copy.copy(value)
    if isinstance(twin, dict):
        for key, item in twin.items():
            twin[key] = _with_own_containers(item)
    return twin


def _rows_of(inputs: Any) -> int:
    """How many rows a batch has, by its first tensor."""
    values = inputs.values() if isinstance(inputs, Mapping) else inputs
    found = (each for each in values if isinstance(each, torch.Tensor) and each.ndim)
    return next((len(each) for each in found), 1)


def _check(trainer: Any) -> None:
    found, remedy = None, "make it with model="
    if not isinstance(trainer, Trainer):
        found = f"it is a {type(trainer).__name__}"
    elif trainer.model_init is not None:
        found = "it makes its model anew in train() (model_init)"
    elif trainer.is_deepspeed_enabled:
        found, remedy = "it runs on DeepSpeed", "train without DeepSpeed"
    elif trainer.is_fsdp_enabled:
        found = "it shards its model in train() (FSDP)"
        remedy = (
            "leave fsdp out, or train in a loop of your own, where "
            "dux_agent.integrations.accelerate.attach follows accelerator.prepare"
        )
    if found is not None:
        raise BadArgument(
            f"the trainer cannot have an agent: {found}; a transformers.Trainer with a "
            f"model of its own, whole in this process, was wanted; {remedy}."
        )


def _total_steps(trainer: Trainer) -> int | None:
    """Optimizer steps of the whole training; None where the data have no length."""
    arguments = trainer.args
    if arguments.max_steps > 0:
        return int(arguments.max_steps)
    if trainer.train_dataset is None:
        return None
    try:
        with random_numbers_kept():
            batches = len(trainer.get_train_dataloader())
    except TypeError:  # an iterable dataset
        return None
    steps = math.ceil(batches / arguments.gradient_accumulation_steps)
    return math.ceil(arguments.num_train_epochs * max(1, steps))


def _others(trainer: Trainer) -> list[nn.Module]:
    """Modules that a trainer's loss may use besides its model, such as a teacher."""
    own = {id(trainer.model), id(trainer.model_wrapped)}
    held = [each for each in vars(trainer).values() if isinstance(each, nn.Module)]
    return [each for each in held if id(each) not in own]
