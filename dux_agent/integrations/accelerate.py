"""One line in a loop of Accelerate's: `attach(accelerator, model, optimizer, ...)`."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from dux_agent.agent import Agent
from dux_agent.attaching import attach as attach_to_loop
from dux_agent.errors import BadArgument, MissingExtra
from dux_agent.integrations.attach_options import check_attach_options
from dux_agent.integrations.news import DecisionNews, figures
from dux_agent.integrations.with_optimizer import SavedWithOptimizer
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.schedulers import all_parts_of, unwrapped
from dux_agent.training.looking import Objective

try:
    from accelerate import Accelerator
    from accelerate.optimizer import AcceleratedOptimizer
except ImportError:
    raise MissingExtra.of(
        "accelerate", extra="accelerate", purpose="dux_agent.integrations.accelerate"
    ) from None

log = logging.getLogger(__name__)

_OBSERVERS = "_dux_agent_observers"


def attach(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    **attach_options: Any,
) -> Agent:
    """Put an agent behind a loop that an `Accelerator` runs; before or after `prepare`.

        agent = attach(accelerator, model, optimizer, objective, lm=..., every=500)

    The rest of the loop stays as it is: an optimizer that was prepared steps the live
    one from now on, one that is prepared later is the live one. The agent is told of
    each loss that goes through `accelerator.backward`, with the batch that a prepared
    data loader has just given. A loop whose batches come from elsewhere calls
    `agent.observe(loss, batch)`; from the first call on nothing is told but by it.
    `save_state` saves the agent with the prepared optimizer, `load_state` goes on from
    it. Decisions go through `accelerator.log` as `dux/...`. Close the agent at the end:
    it is told nothing from then on. Another one may be attached in its place.

    Args:
        model: prepared or not.
        optimizer: the same.
        objective: `(model, batch) -> loss`; the batch is a prepared loader's.
        attach_options: of `dux_agent.attach`.

    Raises:
        BadArgument: the accelerator runs on DeepSpeed or Megatron-LM, or shards what it
            prepares (FSDP) and has not prepared the optimizer; or as
            `dux_agent.attach`.
        TypeError: `attach` has no such option.
    """
    check_attach_options(attach_options)
    prepared: Any = optimizer if isinstance(optimizer, AcceleratedOptimizer) else None
    _check(accelerator, prepared=prepared is not None)
    base: Any = optimizer
    if prepared is not None:
        stepped: Any = prepared.optimizer  # by a former agent of ours, or by nobody
        base = stepped.base if isinstance(stepped, DuxOptimizer) else stepped
    agent = attach_to_loop(model, base, objective, **attach_options)
    # A step that Accelerate leaves out while gradients are added up is none of ours.
    base.gradient_state = accelerator.gradient_state
    if prepared is not None:
        prepared.optimizer = agent.optimizer
        prepared.__setstate__({})  # with a scaler it keeps the step of what it steps
    _Observer(accelerator, agent, base)
    return agent


def _check(accelerator: Accelerator, *, prepared: bool) -> None:
    kind = str(accelerator.distributed_type.value)
    if kind in ("DEEPSPEED", "MEGATRON_LM"):
        raise BadArgument(
            f"the accelerator runs on {kind}, which steps by itself; one that steps a "
            f"torch optimizer was wanted; train without it, or on FSDP2."
        )
    if kind == "FSDP" and not prepared:
        raise BadArgument(
            "the accelerator shards what it prepares (FSDP), and the optimizer is not "
            "prepared; a prepared model and optimizer were wanted; attach after "
            "accelerator.prepare."
        )


class _Observer:
    """Hears of batches and losses on their way through one accelerator."""

    def __init__(self, accelerator: Any, agent: Agent, base: Any) -> None:
        self._accelerator, self._agent, self._base = accelerator, agent, base
        self._news = DecisionNews(agent)
        self._observe = agent.observe
        self._scale = agent.training.intake.scale
        self._batch: Any = None
        self._seen = False  # a prepared loader has given a batch
        self._held: torch.Tensor | None = None  # the loss of a step that is to come
        self._alone = True  # the loop itself tells nothing
        self._told = False  # of the batch that the loop is at
        SavedWithOptimizer(agent, self._news)
        agent.optimizer.register_step_post_hook(self._stepped)
        vars(agent)["observe"] = self._told_by_loop
        others = vars(accelerator).setdefault(_OBSERVERS, [])
        self._others: list[_Observer] = others
        others.append(self)
        for name in ("backward", "prepare_optimizer", "prepare_scheduler"):
            before = getattr(accelerator, name)
            vars(accelerator)[name] = partial(getattr(self, f"_{name}"), before)
        for name in ("prepare_data_loader", "skip_first_batches"):
            before = getattr(accelerator, name)
            vars(accelerator)[name] = _then(before, self._tell_of)
        for each in accelerator._dataloaders:
            self._tell_of(each)
        for each in accelerator._schedulers:
            self._point(each)

    def _backward(self, run: Callable[..., Any], loss: Any, **how: Any) -> Any:
        result = run(loss, **how)
        if self._is_over() or not (self._alone and self._seen):
            return result
        if self._accelerator.sync_gradients:
            held = self._held
            loss = loss.detach()  # the graph ends with the backward pass
            self._held = loss if held is None else held + loss
        elif len(self._others) == 1:  # else it may belong to another's step
            self._tell(loss)
        return result

    def _is_over(self) -> bool:
        """Whether the agent is closed: it is told nothing any more."""
        if self._agent.closed and self in self._others:
            self._others.remove(self)
            self._batch = self._held = None
        return self._agent.closed

    def _stepped(self, *_: Any) -> None:
        if self._is_over():
            return
        held = self._held
        for each in self._others:
            each._held = None
        if held is not None:
            self._tell(held)
        elif self._alone and not self._seen and self._agent.optimizer.steps == 2:
            log.warning(
                "no batch was seen, so that nothing can be tried; prepare the data "
                "loader with accelerator.prepare, or call agent.observe(loss, batch) "
                "after each step"
            )

    def _tell(self, loss: Any) -> None:
        self._told = True
        self._observe(loss, self._batch)
        if self._agent.decisions:
            self._log()

    def _told_by_loop(
        self, loss: Any, batch: Any = None, *, scale: float | None = None
    ) -> None:
        """`Agent.observe`: from the first call on the loop tells everything itself."""
        known = self._alone and self._told and self._held is None
        self._alone, self._held = False, None
        if not known:
            self._observe(loss, batch, scale=scale)
            self._log()

    def _log(self) -> None:
        for decision in self._news.take():
            told = figures(self._agent, decision)
            self._accelerator.log(told, step=self._agent.step_count)

    def _prepare_optimizer(
        self, prepare: Callable[..., Any], optimizer: Any, *more: Any, **how: Any
    ) -> Any:
        if optimizer is self._base and not self._is_over():
            optimizer = self._agent.optimizer
        return prepare(optimizer, *more, **how)

    def _prepare_scheduler(self, prepare: Callable[..., Any], scheduler: Any) -> Any:
        self._point(scheduler)
        return prepare(scheduler)

    def _point(self, scheduler: Any) -> None:
        found = unwrapped(scheduler)
        for each in (found, *all_parts_of(found)):
            stepped = getattr(each, "optimizer", None)
            if isinstance(stepped, DuxOptimizer):  # of an agent before this one
                stepped = stepped.base
            if stepped is self._base and not self._is_over():
                each.optimizer = self._agent.optimizer

    def _tell_of(self, loader: Any) -> None:
        """Hear of each batch that a prepared loader gives."""
        kind, observer = type(loader), self

        def __iter__(loader: Any) -> Iterator[Any]:
            for batch in kind.__iter__(loader):
                if observer._is_over():
                    yield batch
                    continue
                observer._batch, observer._seen, observer._told = batch, True, False
                if observer._scale.value is None:  # it has drawn what it draws
                    observer._scale.forward_may_begin()
                yield batch

        told = type(kind.__name__, (kind,), {"__iter__": __iter__})
        # Python looks for __iter__ at the class; Accelerate's claims to be another.
        vars(object)["__class__"].__set__(loader, told)


def _then(before: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    """A method of the accelerator's; ours is told of what it returns."""

    def call(*given: Any, **named: Any) -> Any:
        result = before(*given, **named)
        ours(result)
        return result

    return call
